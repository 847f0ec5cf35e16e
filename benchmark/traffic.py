"""Requests at given times, to several servers, and those who watch meanwhile: one event loop, which is the clock of all of them.

What this process itself takes is part of each latency.
"""

import asyncio
import base64
import collections
import json
import os
import struct
import time

from server import Failure

ANSWER_WITHIN_S = 10
CONNECT_WITHIN_S = 2


def request(method, path, token=None, body=None):
    text = b"" if body is None else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(text)}"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    if text:
        head.append("Content-Type: application/json")
    return "\r\n".join([*head, "\r\n"]).encode() + text


def beat(token, activity=None):
    return request("POST", "/api/users/heartbeat/", token, {"activity": activity} if activity else None)


def login(name, password):
    return request("POST", "/api/auth/login/", body={"username": name, "password": password})


def set_status(user, status, admin):
    return request("POST", f"/api/users/admin/users/{user}/set-online-status/", admin, {"status": status})


class Answer:
    """Status 0 is none: nobody listened, the connection broke, or it took too long."""

    def __init__(self, status, head=b"", body=b""):
        self.status, self.head, self.body = status, head, body

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.encode():
                return value.strip().decode()
        return None


NONE = Answer(0)


def whole_chunks(rest):
    """The body that a list in slices has, and what follows it; (None, b"") while it is not whole."""
    parts = []
    while True:
        size, found, rest = rest.partition(b"\r\n")
        if not found:
            return None, b""
        length = int(size.split(b";", 1)[0], 16)
        if len(rest) < length + 2:
            return None, b""
        parts.append(rest[:length])
        rest = rest[length + 2 :]
        if length == 0:
            return b"".join(parts), rest


class Connection(asyncio.Protocol):
    """A kept connection: one request at a time."""

    def __init__(self):
        self.transport = self.waiter = None
        self.data = b""

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _):
        self.transport = None
        self.tell(NONE)

    def tell(self, answer):
        waiter, self.waiter = self.waiter, None
        if waiter and not waiter.done():
            waiter.set_result(answer)

    def data_received(self, data):
        self.data += data
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        place = lower.find(b"content-length:")
        if b"transfer-encoding: chunked" in lower:
            body, after = whole_chunks(rest)
        else:
            size = int(lower[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            body, after = (rest[:size], rest[size:]) if len(rest) >= size else (None, b"")
        if body is not None:
            self.data = after
            self.tell(Answer(int(head[9:12]), head, body))

    def ask(self, raw):
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(raw)
        return self.waiter


class Pool:
    """Kept connections to one server; more are made when all are busy."""

    def __init__(self, server, within_s=ANSWER_WITHIN_S):
        self.server, self.within_s, self.free = server, within_s, collections.deque()

    async def ask(self, raw, within_s=None):
        connection = None
        while self.free and connection is None:
            connection = self.free.pop()
            if connection.transport is None:
                connection = None
        try:
            async with asyncio.timeout(within_s or self.within_s):
                if connection is None:
                    async with asyncio.timeout(CONNECT_WITHIN_S):
                        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self.server.port)
                answer = await connection.ask(raw)
        except (OSError, TimeoutError):
            if connection and connection.transport:
                connection.transport.abort()
            return NONE
        if answer.status and connection.transport:
            self.free.append(connection)
        return answer

    def close(self):
        for connection in self.free:
            if connection.transport:
                connection.transport.abort()
        self.free.clear()


class Stream(asyncio.Protocol):
    """A watcher. `told(presences, whole)` is called with what comes; `whole` says that it replaces everything."""

    def __init__(self, told):
        self.told = told
        self.transport = None
        self.opened = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()
        self.head, self.data = None, b""

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.hello())

    def connection_lost(self, _):
        if not self.opened.done():
            self.opened.set_exception(Failure("a watcher's connection ended before it was told anything"))
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data):
        self.data += data
        if self.head is None:
            head, found, rest = self.data.partition(b"\r\n\r\n")
            if not found:
                return
            self.head, self.data = head, rest
            if head.split(b" ", 2)[1] not in (b"200", b"101"):
                self.opened.set_exception(Failure(f"a watcher was answered {head.decode(errors='replace').splitlines()[0]}"))
                return self.close()
            self.begun()
        self.read()

    def open_now(self):
        if not self.opened.done():
            self.opened.set_result(None)

    def begun(self):
        pass

    def close(self):
        if self.transport:
            self.transport.abort()

    @classmethod
    async def open(cls, server, *arguments):
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: cls(*arguments), "127.0.0.1", server.port)
        async with asyncio.timeout(30):
            await stream.opened
        return stream


class Events(Stream):
    """An event stream. Without users: of everybody, for admins. With the `position` of an earlier one it goes on from there."""

    def __init__(self, told, token, users=None, position=None):
        super().__init__(told)
        self.token, self.users, self.position = token, users, position
        self.text, self.size, self.parts = b"", None, []

    def hello(self):
        query = "?users=" + ",".join(self.users) if self.users else ""
        last = f"Last-Event-ID: {self.position}\r\n" if self.position else ""
        return (f"GET /api/presence/events{query} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n"
                f"{last}\r\n").encode()

    def begun(self):
        # Whoever is back in time may be told nothing for a while.
        if self.position:
            self.open_now()

    def read(self):
        # The chunks of HTTP first, then the events in them.
        while True:
            if self.size is None:
                line, found, rest = self.data.partition(b"\r\n")
                if not found:
                    break
                self.size, self.data = int(line.split(b";")[0], 16), rest
            if len(self.data) < self.size + 2:
                break
            self.text += self.data[: self.size]
            self.data, self.size = self.data[self.size + 2 :], None
        *events, self.text = self.text.split(b"\n\n")
        for event in events:
            fields = dict(line.partition(b": ")[::2] for line in event.split(b"\n"))
            kind = fields.get(b"event")
            self.position = fields[b"id"].decode() if b"id" in fields else self.position
            if kind == b"presence":
                self.told([json.loads(fields[b"data"])], False)
            elif kind == b"snapshot":
                # Of many users it comes in parts, and the last one has the position.
                self.parts += json.loads(fields[b"data"])["presences"]
                if b"id" in fields:
                    parts, self.parts = self.parts, []
                    self.told(parts, True)
                    self.open_now()


class Socket(Stream):
    """A WebSocket, which is a session of its user. With `users` it watches them; `position` is as in `Events`."""

    def __init__(self, told, token, users=None, position=None):
        super().__init__(told)
        self.token, self.users, self.position = token, users, position
        self.parts = []

    def hello(self):
        key = base64.b64encode(os.urandom(16)).decode()
        return (f"GET /api/presence/ws HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\nConnection: Upgrade\r\n"
                f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode()

    def send(self, body, opcode=1):
        """A frame with a mask of zeros, which masks nothing."""
        size = bytes([0x80 | len(body)]) if len(body) < 126 else struct.pack(">BH", 0x80 | 126, len(body)) if len(body) < 65_536 \
            else struct.pack(">BQ", 0x80 | 127, len(body))
        self.transport.write(bytes([0x80 | opcode]) + size + bytes(4) + body)

    def read(self):
        while len(self.data) >= 2:
            size, at = self.data[1] & 0x7F, 2
            if size >= 126:
                width = 2 if size == 126 else 8
                if len(self.data) < 2 + width:
                    return
                size, at = int.from_bytes(self.data[2 : 2 + width]), 2 + width
            if len(self.data) < at + size:
                return
            first, body = self.data[0], self.data[at : at + size]
            self.data = self.data[at + size :]
            if first & 0x0F == 9:
                self.send(body, 10)
            elif first & 0x0F < 8:
                self.parts.append(body)
                if first & 0x80:
                    parts, self.parts = self.parts, []
                    self.take(json.loads(b"".join(parts)))

    def take(self, message):
        kind = message["type"]
        if kind == "ready":
            if self.users is None:
                self.open_now()
            else:
                self.send(json.dumps({"type": "watch", "users": self.users, **(self.position or {})}).encode())
        elif kind in ("snapshot", "diff"):
            self.position = {"epoch": message.get("epoch") or self.position["epoch"], "seq": message["seq"]}
            self.told(message["presences"], kind == "snapshot")
            self.open_now()
        elif kind == "error":
            self.close()
            raise Failure(f"a watcher was told an error: {message}")


async def at_rate(rate, seconds, act):
    """Calls `act(n)` at its place in time, by the clock: a late one does not move the next. Returns how late the worst one was."""
    began, number, worst = time.perf_counter(), 0, 0.0
    while number < rate * seconds:
        due = began + number / rate
        now = time.perf_counter()
        if due > now:
            await asyncio.sleep(due - now)
            continue
        worst = max(worst, now - due)
        act(number)
        number += 1
    return worst
