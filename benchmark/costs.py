"""What each route costs with a million users online and the worst parameters: processor time, bytes, and for how long at most
nobody else is served meanwhile."""

import glob
import json
import os
import socket
import statistics
import threading
import time

import population
from server import Failure, Server, ask

# No request may keep others waiting for longer. `/healthz` is asked again and again beside each request; how long it waits at most is
# the longest stretch without a turn for others, on one processor.
WAIT_MAX_MS = 100
PAGE_MAX_MS = 20
TOUCHED_AT_ONCE = 10_000
IDLE_S = 0.3
HISTORY_LINES = 20_000


def spent_s(process):
    """Processor time of all threads so far, to the nanosecond; those that ended are not in it."""
    total = 0
    for path in glob.glob(f"/proc/{process}/task/*/schedstat"):
        try:
            with open(path, encoding="ascii") as stat:
                total += int(stat.read().split()[0])
        except OSError:
            pass
    return total / 1e9


class Beside:
    """Asks `/healthz` all the time, and knows the longest wait."""

    def __init__(self, server):
        self.server, self.longest, self.ends = server, 0.0, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        connection = self.server.connection()
        while not self.ends:
            began = time.perf_counter()
            ask(connection, "GET", "/healthz")
            self.longest = max(self.longest, time.perf_counter() - began)
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()


def request(server, method, path, token=None, body=None):
    """(status, bytes) of one request; the body is read and dropped."""
    connection = server.connection(timeout=120)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        size = 0
        while part := answer.read(1 << 16):
            size += len(part)
        return answer.status, size
    finally:
        connection.close()


def stream(server, path, token):
    """The same of an event stream up to the end of its snapshot."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as wire:
        head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
        wire.sendall(head.encode())
        size, tail, status = 0, b"", None
        while True:
            part = wire.recv(1 << 16)
            if not part:
                raise Failure(f"{path} ended after {size} bytes")
            if status is None:
                status = int(part.split()[1])
            size += len(part)
            tail = (tail + part)[-65_536 * 2:]
            # Only the last event of a snapshot has an id that is not a part.
            begins = tail.rfind(b"event: snapshot")
            is_last = begins >= 0 and b"-part" not in tail[begins:begins + 80]
            if status != 200 or (is_last or b"event: snapshot" not in tail) and tail.rstrip().endswith(b"]}"):
                return status, size


def costs(table, options, program, fresh):
    count = options.users or (100_000 if options.quick else 1_000_000)
    server = Server(program, fresh("costs"), {"PRESENTLY_INACTIVITY_TIMEOUT": "3600s", "PRESENTLY_HEARTBEAT_INTERVAL": "600s"})
    population.settle(server)
    ids = population.add_users(server, count)
    key = next(word for word in server.run("key", "create", "bench").split() if word.startswith("presently_"))
    server.start()
    try:
        for start in range(0, count, TOUCHED_AT_ONCE):
            touch(server, key, ids[start:start + TOUCHED_AT_ONCE], "active")
        until_kept(server)
        if server.online() < count:
            raise Failure(f"only {server.online():,} of {count:,} are online")
        write_history(server, ids[0])
        admin, user = population.token(population.admin_id(server)), population.token(ids[-1])
        for name, ask_once in routes(server, key, admin, user, ids):
            measure(table, server, name, ask_once)
        server.stop(120)
    finally:
        server.kill()


def touch(server, key, ids, activity):
    users = [{"user_id": str(one), "activity": activity} for one in ids]
    for _ in range(100):
        status, _ = request(server, "POST", "/api/presence/touch", key, json.dumps({"users": users}))
        if status == 200:
            return
        time.sleep(0.2)
    raise Failure(f"touch was answered {status}")


def until_kept(server):
    end = time.monotonic() + 300
    while server.metric("presently_pending_effects"):
        if time.monotonic() > end:
            raise Failure("what was decided is not kept")
        time.sleep(0.5)


def write_history(server, user):
    """A user with more history than one answer shows; the lines are told apart by their time alone."""
    import sqlite3
    database = sqlite3.connect(server.database, timeout=60)
    try:
        columns = [row[1] for row in database.execute("PRAGMA table_info(transitions)") if row[1] not in ("id", "at")]
        names = ", ".join(columns)
        database.execute(
            f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {HISTORY_LINES}) "
            f"INSERT INTO transitions (at, {names}) SELECT at - i, {names} FROM n, "
            f"(SELECT * FROM transitions WHERE user_id = ? LIMIT 1)", (str(user),))
        database.commit()
    finally:
        database.close()


def routes(server, key, admin, user, ids):
    """[(what, how to ask it once)]: each with the parameters that cost most."""
    ten_thousand = json.dumps({"users": [str(one) for one in ids[:10_000]]})
    offline = json.dumps({"users": [f"nobody-{n}" for n in range(10_000)]})
    # As many as fit into the address of an event stream.
    watched = ",".join(str(one) for one in ids[-9_000:])[:60_000].rsplit(",", 1)[0]
    middle = middle_cursor(server, admin)
    turns = iter(range(1_000_000))

    def get(path, token):
        return lambda: request(server, "GET", path, token)

    def post(path, token, body="{}"):
        return lambda: request(server, "POST", path, token, body)

    def touch_again(activity):
        users = [{"user_id": str(one), **({"activity": activity()} if activity else {})} for one in ids[:10_000]]
        return request(server, "POST", "/api/presence/touch", key, json.dumps({"users": users}))

    listing = "/api/users/admin/users/"
    return [
        ("POST heartbeat", post("/api/users/heartbeat/", user)),
        ("GET heartbeat", get("/api/users/heartbeat/", user)),
        ("GET profile", get("/api/auth/profile/", user)),
        ("GET presence/{id}", get(f"/api/presence/{ids[5]}", user)),
        ("PUT presence/me", lambda: request(server, "PUT", "/api/presence/me", user, json.dumps({"invisible": next(turns) % 2 == 0}))),
        ("GET presence/count, a user", get("/api/presence/count", user)),
        ("POST presence/query, 10,000 online", post("/api/presence/query", user, ten_thousand)),
        ("POST presence/query, 10,000 unknown", post("/api/presence/query", user, offline)),
        ("GET presence/online?limit=1, a user", get("/api/presence/online?limit=1", user)),
        ("GET presence/online?limit=1000, a user", get("/api/presence/online?limit=1000", user)),
        ("GET presence/online?limit=1000 from the middle, a user", get(f"/api/presence/online?limit=1000&cursor={middle}", user)),
        ("GET presence/online?limit=1000, an admin", get("/api/presence/online?limit=1000", admin)),
        ("GET users/online/?limit=1, a user", get(f"{listing}online/?limit=1", user)),
        ("GET users/online/?limit=1000 from the middle, a user", get(f"{listing}online/?limit=1000&cursor={middle}", user)),
        ("GET users/online/ without a limit", get(f"{listing}online/", user)),
        ("GET all-users", get("/api/users/all-users/", user)),
        ("GET users/?per_page=1000", get(f"{listing}?per_page=1000", admin)),
        ("GET users/?per_page=1000, last page", get(f"{listing}?per_page=1000&page={len(ids) // 1000}", admin)),
        ("GET users/?search=", get(f"{listing}?search=zzz&per_page=1000", admin)),
        ("GET users/?ordering=-last_seen", get(f"{listing}?ordering=-last_seen&per_page=1000", admin)),
        ("GET users/?ordering=online_status", get(f"{listing}?ordering=online_status&per_page=1000", admin)),
        ("GET users/?online_status=online", get(f"{listing}?online_status=online&per_page=1000", admin)),
        ("GET users/{id}/sessions/", get(f"{listing}{ids[0]}/sessions/", admin)),
        ("GET presence/{id}/history, 10,000 lines", get(f"/api/presence/{ids[0]}/history", user)),
        ("GET presence/{id}/explain", get(f"/api/presence/{ids[0]}/explain", admin)),
        ("POST presence/touch, 10,000 that are there", lambda: touch_again(None)),
        ("POST presence/touch, 10,000 that change",
         lambda: touch_again(lambda turn=next(turns): ("idle", "active")[turn % 2])),
        ("events of as many as an address names", lambda: stream(server, f"/api/presence/events?users={watched}", user)),
        ("events of everybody, an admin", lambda: stream(server, "/api/presence/events", admin)),
        ("GET overview", get("/api/users/admin/overview/", admin)),
        ("GET overview/samples?window=day", get("/api/users/admin/overview/samples/?window=day", admin)),
        ("GET audit", get("/api/users/admin/audit/", admin)),
        ("POST presence/tickets", post("/api/presence/tickets", user)),
        ("GET /metrics", get("/metrics", None)),
        ("GET openapi.json", get("/api/openapi.json", None)),
        ("GET docs", get("/api/docs", None)),
    ]


def middle_cursor(server, admin):
    """A cursor with half of the users before it: the slowest page is one that passes by many."""
    cursor = None
    for _ in range(3):
        _, text = server.get("/api/presence/online?limit=1000" + (f"&cursor={cursor}" if cursor else ""), admin)
        cursor = json.loads(text)["next_cursor"] or cursor
    return cursor


def measure(table, server, name, ask_once, tries=3):
    spent, waits, size = [], [], 0
    for _ in range(tries):
        time.sleep(0.3)
        with Beside(server) as beside:
            # What the server does by itself, and for `/healthz`. Before, because what a request caused is kept after it.
            began, before = time.perf_counter(), spent_s(server.process.pid)
            time.sleep(IDLE_S)
            idle = (spent_s(server.process.pid) - before) / (time.perf_counter() - began)
            began, before = time.perf_counter(), spent_s(server.process.pid)
            status, size = ask_once()
            took, spending = time.perf_counter() - began, spent_s(server.process.pid) - before
        if status >= 400:
            raise Failure(f"{name} was answered {status}")
        spent.append(max(0, spending - idle * took))
        waits.append(beside.longest)
    text = f"{1000 * statistics.median(spent):,.1f} ms, {size:,} bytes, others wait {1000 * min(waits):,.0f} ms at most"
    met = min(waits) * 1000 < WAIT_MAX_MS
    target = f"wait < {WAIT_MAX_MS} ms"
    if "online?limit" in name or "online/?limit" in name:
        met, target = met and statistics.median(spent) * 1000 < PAGE_MAX_MS, f"< {PAGE_MAX_MS} ms, {target}"
    table.add(name, text, "", target, met)
