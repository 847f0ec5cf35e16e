"""Each route with the parameters that cost most, as functions that ask once."""

import itertools
import json
import socket

import population
from live import Socket
from server import Failure, ask

USERS = "/api/users/admin/users/"


class Route:
    """One call: its name, how to ask it once, and what to do before that is not counted."""

    def __init__(self, name, ask_once, before=lambda: None):
        self.name, self.ask_once, self.before = name, ask_once, before


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


def socket_snapshot(server, token, users):
    """The same of a WebSocket that watches these, or everybody, up to the end of its snapshot."""
    wire = Socket(server, "/api/presence/ws", token, upgrade=True)
    try:
        wire.send({"type": "watch", **({"users": users} if users else {})})
        # Not decoded: that would hold up who asks beside it, in this process.
        wire.passed_by(b'{"type":"snapshot"')
        return 101, wire.received
    finally:
        wire.raw.close()


class Caller:
    """A user who signs in as people do: with a password, a session, and a refresh token."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.sign_in()

    def sign_in(self):
        told = self.told("POST", "/api/auth/login/", None, {"username": self.name, "password": population.PASSWORD})
        self.access, self.refresh = told["tokens"]["access"], told["tokens"]["refresh"]

    def told(self, method, path, token=None, body=None):
        connection = self.server.connection(timeout=120)
        try:
            status, text = ask(connection, method, path, token, body)
        finally:
            connection.close()
        if status >= 400:
            raise Failure(f"{method} {path} was answered {status}: {text[:200]}")
        return json.loads(text) if text else None

    def other_login(self):
        """The id of a second login of the same user."""
        self.told("POST", "/api/auth/login/", None, {"username": self.name, "password": population.PASSWORD})
        sessions = self.told("GET", "/api/auth/sessions/", self.access)["sessions"]
        return next(session["id"] for session in sessions if not session["current"])


def routes(server, key, admin, user, ids):
    return [*reads(server, key, admin, user, ids), *logins(server, ids), *acts(server, admin, ids), *erasures(server, admin, ids)]


def logins(server, ids):
    """Section by section of what a user does with an account of theirs."""
    caller, turns, found = Caller(server, f"u{len(ids) - 20}"), itertools.count(), {}

    def call(method, path, body=None, token=True):
        def once():
            text = None if body is None else json.dumps(body() if callable(body) else body)
            return request(server, method, path() if callable(path) else path, caller.access if token else None, text)
        return once

    def own(password):
        return {"username": caller.name, "password": password}

    def note_other():
        found["login"] = caller.other_login()

    return [
        Route("POST login", call("POST", "/api/auth/login/", own(population.PASSWORD), token=False)),
        Route("POST login, a wrong password", call("POST", "/api/auth/login/", own("not it"), token=False)),
        Route("POST register", call("POST", "/api/auth/register/", lambda: {
            "username": f"newcomer{next(turns)}", "password": population.PASSWORD}, token=False)),
        Route("POST refresh", call("POST", "/api/auth/refresh/", lambda: {"refresh": caller.refresh}, token=False), caller.sign_in),
        Route("POST verify", call("POST", "/api/auth/verify/", lambda: {"token": caller.access}, token=False)),
        Route("PUT profile", call("PUT", "/api/auth/profile/", lambda: {"bio": "b" * 400, "email": f"e{next(turns)}@example.org"})),
        Route("GET sessions", call("GET", "/api/auth/sessions/")),
        Route("DELETE sessions/{id}", call("DELETE", lambda: f"/api/auth/sessions/{found['login']}/"), note_other),
        Route("POST password, a wrong old one", call("POST", "/api/auth/password/", {
            "old_password": "not it", "new_password": "another good one"})),
        Route("POST logout", call("POST", "/api/auth/logout/"), caller.sign_in),
        Route("POST logout-all", call("POST", "/api/auth/logout-all/"), caller.sign_in),
    ]


def acts(server, admin, ids):
    """What an administrator does to somebody."""
    one, turns, made = ids[-10], itertools.count(), {}

    def call(method, path, body=None):
        return lambda: request(server, method, path() if callable(path) else path, admin,
                               None if body is None else json.dumps(body() if callable(body) else body))

    def act(what, body=None):
        return call("POST", f"{USERS}{one}/{what}/", body or {})

    return [
        Route("GET users/{id}/online-status/", call("GET", f"{USERS}{one}/online-status/")),
        Route("POST users/{id}/set-online-status/, an override",
              act("set-online-status", lambda: {"status": ("online", "offline")[next(turns) % 2], "expires_in": 3_600})),
        Route("POST users/{id}/force-logout/", act("force-logout")),
        Route("POST users/{id}/suspend/", act("suspend", {"reason": "r" * 400}), act("activate")),
        Route("POST users/{id}/ban/", act("ban"), act("activate")),
        Route("POST users/{id}/activate/", act("activate"), act("ban")),
        Route("POST users/", call("POST", USERS, lambda: {
            "username": f"created{next(turns)}", "password": population.PASSWORD})),
        Route("PATCH users/{id}/", call("PATCH", f"{USERS}{one}/", lambda: {"first_name": f"name {next(turns)}"})),
        Route("POST api-keys/", call("POST", "/api/users/admin/api-keys/", lambda: {"name": f"key {next(turns)}"})),
        Route("GET api-keys/", call("GET", "/api/users/admin/api-keys/")),
    ]


def erasures(server, admin, ids):
    """Each can be done once to one user."""
    victims = iter([ids[0], *ids[-9:]])
    return [Route("DELETE users/{id}/", lambda: request(server, "DELETE", f"{USERS}{next(victims)}/", admin))]


def reads(server, key, admin, user, ids):
    """What programs ask all the time, and what looks at many."""
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

    return [
        Route("POST heartbeat", post("/api/users/heartbeat/", user)),
        Route("GET heartbeat", get("/api/users/heartbeat/", user)),
        Route("GET profile", get("/api/auth/profile/", user)),
        Route("GET presence/{id}", get(f"/api/presence/{ids[5]}", user)),
        Route("PUT presence/me", lambda: request(server, "PUT", "/api/presence/me", user, json.dumps({"invisible": next(turns) % 2 == 0}))),
        Route("GET presence/count, a user", get("/api/presence/count", user)),
        Route("POST presence/query, 10,000 online", post("/api/presence/query", user, ten_thousand)),
        Route("POST presence/query, 10,000 unknown", post("/api/presence/query", user, offline)),
        Route("GET presence/online?limit=1, a user", get("/api/presence/online?limit=1", user)),
        Route("GET presence/online?limit=1000, a user", get("/api/presence/online?limit=1000", user)),
        Route("GET presence/online?limit=1000 from the middle, a user", get(f"/api/presence/online?limit=1000&cursor={middle}", user)),
        Route("GET presence/online?limit=1000, an admin", get("/api/presence/online?limit=1000", admin)),
        Route("GET users/online/?limit=1, a user", get(f"{USERS}online/?limit=1", user)),
        Route("GET users/online/?limit=1000 from the middle, a user", get(f"{USERS}online/?limit=1000&cursor={middle}", user)),
        Route("GET users/online/ without a limit", get(f"{USERS}online/", user)),
        Route("GET all-users", get("/api/users/all-users/", user)),
        Route("GET users/?per_page=1000", get(f"{USERS}?per_page=1000", admin)),
        Route("GET users/?per_page=1000, last page", get(f"{USERS}?per_page=1000&page={len(ids) // 1000}", admin)),
        Route("GET users/?search=", get(f"{USERS}?search=zzz&per_page=1000", admin)),
        Route("GET users/?ordering=-last_seen", get(f"{USERS}?ordering=-last_seen&per_page=1000", admin)),
        Route("GET users/?ordering=online_status", get(f"{USERS}?ordering=online_status&per_page=1000", admin)),
        Route("GET users/?online_status=online", get(f"{USERS}?online_status=online&per_page=1000", admin)),
        Route("GET users/{id}/sessions/", get(f"{USERS}{ids[0]}/sessions/", admin)),
        Route("GET presence/{id}/history, 10,000 lines", get(f"/api/presence/{ids[0]}/history", user)),
        Route("GET presence/{id}/explain", get(f"/api/presence/{ids[0]}/explain", admin)),
        Route("POST presence/touch, 10,000 that are there", lambda: touch_again(None)),
        Route("POST presence/touch, 10,000 that change",
              lambda: touch_again(lambda turn=next(turns): ("idle", "active")[turn % 2])),
        Route("events of as many as an address names", lambda: stream(server, f"/api/presence/events?users={watched}", user)),
        Route("events of everybody, an admin", lambda: stream(server, "/api/presence/events", admin)),
        Route("WebSocket: a watch of 10,000", lambda: socket_snapshot(server, user, [str(one) for one in ids[-10_000:]])),
        Route("WebSocket: a watch of everybody, an admin", lambda: socket_snapshot(server, admin, None)),
        Route("GET presence/me", get("/api/presence/me", user)),
        Route("POST presence/leave", post("/api/presence/leave", user)),
        Route("GET overview", get("/api/users/admin/overview/", admin)),
        Route("GET overview/samples?window=day", get("/api/users/admin/overview/samples/?window=day", admin)),
        Route("GET audit", get("/api/users/admin/audit/", admin)),
        Route("POST presence/tickets", post("/api/presence/tickets", user)),
        Route("GET /readyz", get("/readyz", None)),
        Route("GET /metrics", get("/metrics", None)),
        Route("GET openapi.json", get("/api/openapi.json", None)),
        Route("GET docs", get("/api/docs", None)),
    ]


def middle_cursor(server, admin):
    """A cursor with half of the users before it: the slowest page is one that passes by many."""
    cursor = None
    for _ in range(3):
        _, text = server.get("/api/presence/online?limit=1000" + (f"&cursor={cursor}" if cursor else ""), admin)
        cursor = json.loads(text)["next_cursor"] or cursor
    return cursor
