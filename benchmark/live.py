"""Watching: what a connection costs, how fast a change arrives, what a reader who stalls does to the others.

The clients are plain sockets of this process, read with epoll. Their own cost is part of each latency.
"""

import json
import os
import resource
import select
import socket
import struct
import time

import population
from server import Failure

SETTINGS = {"PRESENTLY_CONNECTIONS_MAX": "40000", "PRESENTLY_STREAMS_PER_USER_MAX": "20000"}


class Socket:
    """A connection that was upgraded to WebSocket, or that streams events."""

    def __init__(self, server, path, token, upgrade):
        self.raw = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Authorization: Bearer {token}"]
        if upgrade:
            head += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        self.raw.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        self.data, self.at = b"", 0
        while b"\r\n\r\n" not in self.data:
            self.fill()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        wanted = b"101" if upgrade else b"200"
        if head.split(b" ")[1] != wanted:
            raise Failure(f"{path} was answered {head.decode(errors='replace').splitlines()[0]}")
        self.received = 0

    def fill(self):
        more = self.raw.recv(262_144)
        if not more:
            raise Failure("a connection ended")
        self.data, self.at = self.data[self.at:] + more, 0

    def send(self, message=None, opcode=1):
        """A frame with a mask of zeros, which masks nothing."""
        body = b"" if message is None else json.dumps(message).encode()
        size = bytes([0x80 | len(body)]) if len(body) < 126 else struct.pack(">BH", 0x80 | 126, len(body)) if len(body) < 65_536 \
            else struct.pack(">BQ", 0x80 | 127, len(body))
        self.raw.sendall(bytes([0x80 | opcode]) + size + bytes(4) + body)

    def take(self, size):
        while len(self.data) - self.at < size:
            self.fill()
        self.at += size
        self.received += size
        return self.data[self.at - size : self.at]

    def frame(self):
        """(first byte, body) of the next frame."""
        first, size = self.take(2)
        if size == 126:
            size = struct.unpack(">H", self.take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.take(8))[0]
        return first, self.take(size)

    def passed_by(self, begin):
        """Reads up to the end of the next message that begins so, and keeps nothing of it."""
        is_begun = False
        while True:
            first, body = self.frame()
            if first & 0x0F < 8:
                is_begun = is_begun or body.startswith(begin)
                if is_begun and first & 0x80:
                    return

    def message(self, kind):
        """The next message of this kind, its fragments put together."""
        parts = []
        while True:
            first, body = self.frame()
            if first & 0x0F >= 8:
                continue
            parts.append(body)
            if first & 0x80:
                message = json.loads(b"".join(parts))
                if message["type"] == kind:
                    return message
                if message["type"] == "error":
                    raise Failure(f"an error: {message}")
                parts = []

    def close(self):
        self.raw.close()


def ws(server, token, users=None):
    opened = Socket(server, "/api/presence/ws", token, True)
    opened.message("ready")
    if users is not None:
        opened.send({"type": "watch", "users": users})
        opened.message("snapshot")
    return opened


def sse(server, token, users):
    opened = Socket(server, f"/api/presence/events?users={','.join(users)}", token, False)
    while b"\n\n" not in opened.data.partition(b"event: snapshot")[2]:
        opened.fill()
    opened.data = b""
    return opened


def beat(connection, token, activity):
    from server import ask
    status, text = ask(connection, "POST", "/api/users/heartbeat/", token, {"activity": activity})
    if status != 200:
        raise Failure(f"a heartbeat was answered {status}: {text}")


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def fan_out(server, watchers, mark, watched, rounds):
    """Changes of one user, each waited for by everybody: (latencies in ms, processor µs a delivery)."""
    connection = server.connection()
    poll = select.epoll()
    by_number = {}
    for watcher in watchers:
        watcher.raw.setblocking(False)
        by_number[watcher.raw.fileno()] = watcher
        poll.register(watcher.raw.fileno(), select.EPOLLIN)
    latencies, spent = [], server.processor_s()
    for number in range(rounds):
        # A user changes no more than ten times a second in the long run.
        time.sleep(0.1)
        began = time.perf_counter()
        beat(connection, watched, ("idle", "active")[number % 2])
        waiting = len(watchers)
        while waiting:
            events = poll.poll(10)
            if not events:
                raise Failure(f"{waiting} watchers heard nothing within 10 s")
            for descriptor, _ in events:
                told = by_number[descriptor].raw.recv(65_536)
                if not told:
                    raise Failure("a watcher's connection ended")
                if mark in told:
                    latencies.append(1000 * (time.perf_counter() - began))
                    waiting -= 1
    spent = server.processor_s() - spent
    for watcher in watchers:
        watcher.raw.setblocking(True)
    return latencies, 1e6 * spent / len(latencies)


def idle(table, server, kind, open_one, tokens, counts, options):
    """Memory a connection, as a slope; processor time of one that does nothing but a ping each 25 s."""
    opened, resident = [], []
    try:
        for count in counts:
            while len(opened) < count:
                opened.append(open_one(tokens[len(opened)]))
            time.sleep(2)
            resident.append(server.resident_bytes())
        limit = {"WebSocket": 6, "event stream": 12}[kind]
        slope = (resident[1] - resident[0]) / (counts[1] - counts[0]) / 1024
        table.below(f"idle {kind}: memory a connection, from {counts[0]:,} to {counts[1]:,}", slope, limit, "KB")
        seconds = 10 if options.quick else 25
        before, end = server.processor_s(), time.monotonic() + seconds
        for number, connection in enumerate(opened):
            if kind == "WebSocket" and not options.quick:
                connection.send(opcode=9)
            if number % 500 == 0:
                time.sleep(max(0, (end - time.monotonic()) * 500 / max(1, len(opened) - number)))
        time.sleep(max(0, end - time.monotonic()))
        spent = 1e6 * (server.processor_s() - before) / seconds / len(opened)
        table.below(f"idle {kind}: processor time a second each", spent, 2, "µs")
    finally:
        for connection in opened:
            connection.close()
    time.sleep(2)


def live(table, options, server):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    counts = (1_000, 4_000) if options.quick else (5_000, 18_000)
    if hard < counts[1] + 2_000:
        raise Failure(f"{counts[1]:,} connections need as many open files; the limit here is {hard:,}")
    population.settle(server)
    ids = population.add_users(server, 20_000)
    tokens = [population.token(user) for user in ids]
    admin = population.token(population.admin_id(server))
    names = [str(user) for user in ids]
    server.start()
    try:
        connection = server.connection()
        for token in tokens:
            beat(connection, token, "active")

        snapshots = []
        for _ in range(5):
            one = ws(server, admin)
            began = time.perf_counter()
            one.send({"type": "watch", "users": names[:10_000]})
            one.message("snapshot")
            snapshots.append(1000 * (time.perf_counter() - began))
            one.close()
        table.below("snapshot of 10,000 users, slowest of 5, decoded", max(snapshots), 100, "ms")

        first = ws(server, admin)
        before = first.received
        first.send({"type": "watch", "users": names[:1_000]})
        snapshot = first.message("snapshot")
        whole = first.received - before
        first.close()
        for token in tokens[:10]:
            beat(connection, token, "idle")
        time.sleep(0.5)
        again = ws(server, admin)
        before = again.received
        again.send({"type": "watch", "users": names[:1_000], "epoch": snapshot["epoch"], "seq": snapshot["seq"]})
        missed = again.message("diff")
        if len(missed["presences"]) != 10:
            raise Failure(f"10 users changed, the resume told of {len(missed['presences'])}")
        again.close()
        table.below("resume with 1,000 watched and 1 % changed ÷ snapshot, bytes", 100 * (again.received - before) / whole, 5, "%")

        rounds = 30 if options.quick else 100
        watched, name = tokens[-1], names[-1]
        for kind, open_one, mark in (("WebSocket", ws, b'"diff"'), ("event stream", sse, b"event: presence")):
            watchers = [open_one(server, admin, [name]) for _ in range(1_000)]
            latencies, cost = fan_out(server, watchers, mark, watched, rounds)
            table.below(f"change to each of 1,000 watchers, {kind}, p99", percentile(latencies, 0.99), 50, "ms")
            table.add(f"change to each of 1,000 watchers, {kind}, p50", percentile(latencies, 0.5), "ms")
            table.add(f"deliveries a second of one processor, {kind}", 1e6 / cost, "/s", "> 50,000 /s", cost < 20, digits=0)
            if kind == "WebSocket":
                stalled = ws(server, admin, [name])
                for _ in range(8):
                    stalled.send({"type": "watch", "users": names[:10_000]})
                time.sleep(1)
                others, _ = fan_out(server, watchers, mark, watched, rounds)
                table.below("the same beside a reader who stalls, p99", percentile(others, 0.99), 50, "ms")
                stalled.close()
            for watcher in watchers:
                watcher.close()
        time.sleep(2)
        idle(table, server, "WebSocket", lambda token: ws(server, token, [name]), tokens, counts, options)
        idle(table, server, "event stream", lambda token: sse(server, token, [name]), tokens, counts, options)
        server.stop()
    finally:
        server.kill()
