"""What each route costs with a million users online and the worst parameters: processor time, bytes, and for how long at most
nobody else is served meanwhile."""

import glob
import json
import os
import statistics
import threading
import time

import population
from server import Failure, Server, ask
from worst import request, routes

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


def costs(table, options, program, fresh):
    count = options.users or (100_000 if options.quick else 1_000_000)
    server = Server(program, fresh("costs"), {
        "PRESENTLY_INACTIVITY_TIMEOUT": "3600s", "PRESENTLY_HEARTBEAT_INTERVAL": "600s", "PRESENTLY_REGISTRATION": "open"})
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
        for route in routes(server, key, admin, user, ids):
            measure(table, server, route)
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


def measure(table, server, route, tries=3):
    spent, waits, size = [], [], 0
    for _ in range(tries):
        route.before()
        time.sleep(0.3)
        with Beside(server) as beside:
            # What the server does by itself, and for `/healthz`. Before, because what a request caused is kept after it.
            began, before = time.perf_counter(), spent_s(server.process.pid)
            time.sleep(IDLE_S)
            idle = (spent_s(server.process.pid) - before) / (time.perf_counter() - began)
            began, before = time.perf_counter(), spent_s(server.process.pid)
            status, size = route.ask_once()
            took, spending = time.perf_counter() - began, spent_s(server.process.pid) - before
        if status >= 400 and "wrong" not in route.name:
            raise Failure(f"{route.name} was answered {status}")
        spent.append(max(0, spending - idle * took))
        waits.append(beside.longest)
    text = f"{1000 * statistics.median(spent):,.1f} ms, {size:,} bytes, others wait {1000 * min(waits):,.0f} ms at most"
    met = min(waits) * 1000 < WAIT_MAX_MS
    target = f"wait < {WAIT_MAX_MS} ms"
    if "online?limit" in route.name or "online/?limit" in route.name:
        met, target = met and statistics.median(spent) * 1000 < PAGE_MAX_MS, f"< {PAGE_MAX_MS} ms, {target}"
    table.add(route.name, text, "", target, met)
