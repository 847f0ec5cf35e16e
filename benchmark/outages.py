"""Three nodes while something is killed: a node, Valkey, PostgreSQL. People go on beating; who watches everybody must see nobody leave.

The servers run with short timings, which the figures name, because each outage has to outlast them.
"""

import asyncio
import random
import time

import population
import traffic
from cluster import Cluster
from server import Failure

INTERVAL_S, TIMEOUT_S, LEASE_S, GRACE_S = 2, 6, 3, 5
TIMINGS = f"lease {LEASE_S} s, timeout {TIMEOUT_S} s"
SETTINGS = {
    "PRESENTLY_HEARTBEAT_INTERVAL": f"{INTERVAL_S}s", "PRESENTLY_INACTIVITY_TIMEOUT": f"{TIMEOUT_S}s",
    "PRESENTLY_NODE_LEASE": f"{LEASE_S}s", "PRESENTLY_RECONNECT_GRACE": f"{GRACE_S}s",
}
# Longer than lease and timeout together.
OUTAGE_S = 12
WITHIN_S = 60
EVERY_S = 0.05


def outages(table, options, program, fresh):
    for name, act in (("node", node_killed), ("valkey", valkey_killed), ("postgres", postgres_killed)):
        cluster = Cluster(program, fresh(f"outage-{name}"), SETTINGS)
        try:
            # A few more, who come and go as each outage wants them.
            count = 900 if options.quick else 1_800
            ids = cluster.open(count + 400)
            asyncio.run(act(table, cluster, list(ids), count))
        finally:
            cluster.close()


class Person:
    def __init__(self, number, user, node):
        self.name, self.login, self.token, self.node = str(user), f"u{number + 1}", population.token(user), node
        self.activity, self.silent, self.wanders = None, False, False


class People:
    """Everybody beats once an interval, at their node or wherever somebody listens."""

    def __init__(self, cluster, ids):
        self.cluster = cluster
        self.pools = [traffic.Pool(node) for node in cluster.nodes]
        self.all = [Person(number, user, number % len(self.pools)) for number, user in enumerate(ids)]
        self.down, self.lots = set(), random.Random(1)
        self.beats, self.errors, self.worst_s, self.tasks = 0, 0, 0.0, set()
        self.task = None

    async def ask(self, node, raw):
        return await self.pools[node].ask(raw)

    async def beat(self, person):
        nodes = [(person.node + step) % len(self.pools) for step in range(len(self.pools))]
        if person.wanders:
            self.lots.shuffle(nodes)
        began = time.perf_counter()
        self.beats += 1
        for node in nodes:
            answer = await self.ask(node, traffic.beat(person.token, person.activity))
            # Where nobody listens the next one is asked, as a load balancer does.
            if answer.status or node not in self.down:
                break
            person.node = nodes[(nodes.index(node) + 1) % len(nodes)]
        if answer.status != 200:
            self.errors += 1
        self.worst_s = max(self.worst_s, time.perf_counter() - began)

    def start(self):
        self.task = asyncio.ensure_future(self.go_on())

    async def go_on(self):
        while True:
            people = [person for person in self.all if not person.silent]
            await traffic.at_rate(len(people) / INTERVAL_S, INTERVAL_S, lambda n: self.send(people[n]) if n < len(people) else None)

    def send(self, person):
        if not person.silent:
            task = asyncio.ensure_future(self.beat(person))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(*self.tasks)

    def counted(self):
        counted = self.beats, self.errors, self.worst_s
        self.beats, self.errors, self.worst_s = 0, 0, 0.0
        return counted


class Witness:
    """Watches everybody at one node, and remembers who was seen to leave, and when."""

    def __init__(self, server, token):
        self.server, self.token = server, token
        self.status, self.left, self.stream, self.closing = {}, {}, None, False

    async def open(self):
        self.stream = await traffic.Events.open(self.server, self.hear, self.token)
        self.task = asyncio.ensure_future(self.again())
        return self

    async def again(self):
        while not self.closing:
            await self.stream.ended
            await asyncio.sleep(EVERY_S)
            try:
                self.stream = await traffic.Events.open(self.server, self.hear, self.token)
            except (OSError, Failure, TimeoutError):
                pass

    def hear(self, presences, whole):
        now = time.monotonic()
        told = {presence["user_id"]: presence["status"] for presence in presences}
        if whole:
            # Whoever is not told of is offline.
            told = {user: told.get(user, "offline") for user in {*told, *self.status}}
        for user, status in told.items():
            if status == "offline" and self.status.get(user, "offline") != "offline":
                self.left.setdefault(user, now)
            self.status[user] = status

    def close(self):
        self.closing = True
        self.task.cancel()
        self.stream.close()


async def ready(cluster):
    """{node: the status of its /readyz}; 0 is none."""
    pools = [traffic.Pool(node) for node in cluster.nodes]
    answers = await asyncio.gather(*(pool.ask(traffic.request("GET", "/readyz")) for pool in pools))
    for pool in pools:
        pool.close()
    return [answer.status for answer in answers]


async def until(condition, within_s, what):
    """How long it took until the condition came to hold."""
    began = time.monotonic()
    while not await condition():
        if time.monotonic() - began > within_s:
            raise Failure(f"{what}: not within {within_s} s")
        await asyncio.sleep(EVERY_S)
    return time.monotonic() - began


async def all_say(cluster, people, number):
    return all(status == number for status in await ready(cluster))


async def agree(cluster, people):
    """Whether all nodes are ready and tell the same status of each, which is what each of them does."""
    if not await all_say(cluster, people, 200):
        return False
    awaited = ["away" if person.activity == "idle" else "online" for person in people.all if not person.silent]
    raw = traffic.request("POST", "/api/presence/query", cluster.key, {"users": [person.name for person in people.all if not person.silent]})
    answers = await asyncio.gather(*(people.ask(node, raw) for node in range(len(cluster.nodes))))
    if any(answer.status != 200 for answer in answers):
        return False
    told = [[presence["status"] for presence in answer.json()["presences"]] for answer in answers]
    return all(statuses == awaited for statuses in told)


async def begin(cluster, ids, count):
    people = People(cluster, ids[:count])
    people.start()
    witnesses = [await Witness(node, cluster.admin).open() for node in cluster.nodes]
    await asyncio.sleep(2 * INTERVAL_S)

    async def here():
        return await agree(cluster, people)

    await until(here, WITHIN_S, "everybody comes online")
    await seen(witnesses, people.all)
    people.counted()
    return people, witnesses


async def seen(witnesses, people):
    """Whoever is not seen to be there cannot be seen to leave."""
    async def all_seen():
        return all(witness.status.get(person.name) == "online" for witness in witnesses for person in people)

    await until(all_seen, WITHIN_S, "the witnesses see everybody")


def told_of_people(table, label, people, witnesses, but=()):
    """Two figures: how heartbeats went, and who was seen to leave."""
    beats, errors, worst_s = people.counted()
    table.add(f"{label}: heartbeats refused or unanswered, of {beats:,}", errors, "", "0", errors == 0, digits=0)
    table.add(f"{label}: slowest heartbeat", 1000 * worst_s, "ms")
    left = {user for witness in witnesses for user in witness.left} - set(but)
    mine = {person.name for person in people.all}
    table.add(f"{label}: seen to leave though they beat, of {len(mine) - len(mine & set(but)):,}", len(left & mine), "", "0",
              not left & mine, digits=0)


# -------------------------------------------------------------------------------------------------------------- a node

async def node_killed(table, cluster, ids, count):
    label = f"a node killed ({TIMINGS}, grace {GRACE_S} s)"
    people, witnesses = await begin(cluster, ids, count)
    killed = len(cluster.nodes) - 1
    ghosts = [person for person in people.all if person.node == killed][: count // 9]
    # Their sockets are all that keeps them online.
    owners = [Person(count + n, user, killed) for n, user in enumerate(ids[count : count + 100])]
    sockets = {owner: await traffic.Socket.open(cluster.nodes[killed], lambda *_: None, owner.token) for owner in owners}
    await asyncio.sleep(INTERVAL_S)
    await seen(witnesses, [*people.all, *owners])
    people.counted()

    for ghost in ghosts:
        ghost.silent = True
    await asyncio.sleep(0.1)
    at = time.monotonic()
    people.down.add(killed)
    witnesses[killed].close()
    cluster.nodes[killed].kill()

    async def come_back(owner):
        await sockets[owner].ended
        await asyncio.sleep(people.lots.uniform(0.2, GRACE_S - 2))
        sockets[owner] = await traffic.Socket.open(cluster.nodes[people.lots.randrange(killed)], lambda *_: None, owner.token)

    back = asyncio.gather(*(come_back(owner) for owner in owners))
    survivors = witnesses[:killed]

    async def gone():
        return all(ghost.name in witness.left for ghost in ghosts for witness in survivors)

    await until(gone, LEASE_S + TIMEOUT_S + WITHIN_S, "the ghosts go")
    await back
    went = [witness.left[ghost.name] - at for ghost in ghosts for witness in survivors]
    table.add(f"{label}: its {len(ghosts)} ghosts are offline after at most", max(went), "s", f"≤ {LEASE_S + TIMEOUT_S} + 1 s",
              max(went) <= LEASE_S + TIMEOUT_S + 1)
    table.add(f"{label}: the first ghost is offline after", min(went), "s")
    await asyncio.sleep(TIMEOUT_S + 2)
    told_of_people(table, label, people, survivors, but={ghost.name for ghost in ghosts})
    # Their new sockets, and nothing else, keep them: whoever left without a word shows here too.
    await seen(survivors, [owner for owner in owners if not any(owner.name in witness.left for witness in survivors)])
    left = {owner.name for owner in owners} & {user for witness in survivors for user in witness.left}
    table.add(f"{label}: seen to leave of {len(owners)} sockets that came back within the grace", len(left), "", "0", not left, digits=0)

    # It comes back as another life of the same name.
    table.add("the killed node starts again: ready after", await asyncio.to_thread(cluster.nodes[killed].start), "s")
    people.down.clear()
    witnesses[killed] = await Witness(cluster.nodes[killed], cluster.admin).open()

    async def agreed():
        return await agree(cluster, people)

    table.add("the killed node starts again: all agree after", await until(agreed, WITHIN_S, "all agree"), "s")
    await asyncio.sleep(TIMEOUT_S + 2)
    told_of_people(table, "the killed node starts again", people, witnesses, but={ghost.name for ghost in ghosts})
    await end(people, witnesses, sockets.values())


async def end(people, witnesses, streams=()):
    for witness in witnesses:
        witness.close()
    for stream in streams:
        stream.close()
    await people.stop()
    for pool in people.pools:
        pool.close()


# -------------------------------------------------------------------------------------------------------------- Valkey

async def outage(table, label, cluster, people, backend, while_away):
    """Kills a backend, has it back, and waits until all nodes agree. Returns when it was back."""
    async def refused():
        return await all_say(cluster, people, 503)

    async def agreed():
        return await agree(cluster, people)

    at = time.monotonic()
    backend.kill()
    waiting = asyncio.ensure_future(while_away())
    told_s = await until(refused, OUTAGE_S, "/readyz tells of it")
    table.add(f"{label}: /readyz of all nodes is 503 after", told_s, "s", f"≤ {LEASE_S + 2} s", told_s <= LEASE_S + 2)
    wrong = 0
    while time.monotonic() < at + OUTAGE_S:
        wrong += not await refused()
        await asyncio.sleep(EVERY_S)
    await waiting
    table.add(f"{label}: /readyz of a node is anything else meanwhile", wrong, "times", "0 times", wrong == 0, digits=0)
    while not backend.try_start():
        await asyncio.sleep(EVERY_S)
    back = time.monotonic()
    agreed_s = await until(agreed, WITHIN_S, "all nodes agree")
    table.add(f"{label}: all nodes are ready and agree after its return", agreed_s, "s", "≤ 10 s", agreed_s <= 10)
    return back


async def valkey_killed(table, cluster, ids, count):
    label = f"Valkey killed for {OUTAGE_S} s, back empty ({TIMINGS})"
    people, witnesses = await begin(cluster, ids, count)
    for person in people.all[::10]:
        person.wanders = True
    silent = people.all[5::30]

    async def while_away():
        await asyncio.sleep(OUTAGE_S / 3)
        for person in people.all[1::30]:
            person.activity = "idle"
        for person in silent:
            person.silent = True

    back = await outage(table, label, cluster, people, cluster.valkey, while_away)

    async def gone():
        return all(person.name in witness.left for person in silent for witness in witnesses)

    await until(gone, WITHIN_S, "who fell silent goes")
    went_s = max(witness.left[person.name] for person in silent for witness in witnesses) - back
    table.add(f"{label}: {len(silent)} who fell silent meanwhile are offline after its return at most", went_s, "s")
    await asyncio.sleep(TIMEOUT_S + 2)
    told_of_people(table, label, people, witnesses, but={person.name for person in silent})
    await end(people, witnesses)


# ---------------------------------------------------------------------------------------------------------- PostgreSQL

async def postgres_killed(table, cluster, ids, count):
    label = f"PostgreSQL killed for {OUTAGE_S} s ({TIMINGS})"
    people, witnesses = await begin(cluster, ids, count)
    comers = [Person(count + n, user, n % len(cluster.nodes)) for n, user in enumerate(ids[count:])]
    overridden = people.all[2::12][:100]
    refreshes, overrides, changed = {}, [], people.all[1::30]
    killed = asyncio.Event()

    async def come():
        for person in comers[:-50]:
            answer = await people.ask(person.node, traffic.login(person.login, population.PASSWORD))
            if answer.status == 200:
                refreshes[person] = answer.json()["tokens"]["refresh"]
            if killed.is_set():
                return

    async def override():
        for person in overridden:
            raw = traffic.request("POST", f"/api/users/admin/users/{person.name}/set-online-status/", cluster.admin,
                                  {"status": "away", "expires_in": 3600})
            answer = await people.ask((person.node + 1) % len(cluster.nodes), raw)
            if answer.status == 200:
                overrides.append(person)
            if killed.is_set():
                return
            await asyncio.sleep(0.02)

    answers = []

    async def while_away():
        killed.set()
        await asyncio.sleep(2)
        for number in range(30):
            person = comers[-1 - number]
            answers.append(await people.ask(person.node, traffic.login(person.login, population.PASSWORD)))
            if number == 10:
                for other in changed:
                    other.activity = "idle"
            await asyncio.sleep(0.2)

    acting = asyncio.gather(come(), override())
    await asyncio.sleep(1.5)
    people.all = [person for person in people.all if person not in set(overridden)]
    back = await outage(table, label, cluster, people, cluster.postgres, while_away)
    await acting
    right = sum(answer.status == 503 and answer.header("retry-after") is not None for answer in answers)
    table.add(f"{label}: logins answered 503 with Retry-After, of {len(answers)}", right, "", str(len(answers)), right == len(answers), digits=0)

    last = comers[-50]

    async def lets_in():
        return (await people.ask(0, traffic.login(last.login, population.PASSWORD))).status == 200

    await until(lets_in, WITHIN_S, "somebody can log in again")
    table.add(f"{label}: somebody can log in after its return", time.monotonic() - back, "s")

    lost = 0
    for person, refresh in refreshes.items():
        answer = await people.ask((person.node + 1) % len(cluster.nodes), traffic.request("POST", "/api/auth/refresh/", body={"refresh": refresh}))
        lost += answer.status != 200
    table.add(f"{label}: logins lost of those that were answered before", lost, f"of {len(refreshes)}", "0", lost == 0, digits=0)
    kept = {row[0] for row in cluster.rows("SELECT user_id FROM overrides WHERE status = 'away'")}
    lost = sum(person.name not in kept for person in overrides)
    table.add(f"{label}: statuses set by an admin lost of those that were answered before", lost, f"of {len(overrides)}", "0", lost == 0, digits=0)

    async def written():
        rows = dict(cluster.rows("SELECT user_id, online_status FROM presence"))
        return all(rows.get(person.name) == "away" for person in changed)

    await until(written, WITHIN_S, "what changed meanwhile is written")
    table.add(f"{label}: {len(changed)} changes made meanwhile are in the database after its return", time.monotonic() - back, "s")
    await asyncio.sleep(TIMEOUT_S + 2)
    told_of_people(table, label, people, witnesses)
    await end(people, witnesses)
