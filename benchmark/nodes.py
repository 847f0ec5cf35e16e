"""Three nodes: how soon one tells of what another decided, what it costs in commands to Valkey, and what being one of three costs a node."""

import asyncio
import datetime
import os
import random
import re
import statistics
import time

import load
import population
import traffic
from cluster import Cluster
from server import Failure

MIB = 1024 * 1024
# What clients send by themselves; the rest of what Valkey counts runs inside scripts.
SENT = {"evalsha", "eval", "xread", "spublish", "publish", "ssubscribe", "subscribe", "lpop", "blpop", "ping", "hello", "client", "select",
        "auth", "script|load", "script"}


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def nodes(table, options, program, fresh):
    cluster = Cluster(program, fresh("nodes"), {})
    try:
        ids = cluster.open(10_000 if options.quick else 30_000)
        asyncio.run(told_elsewhere(table, options, cluster, ids[:2_000]))
    finally:
        cluster.close()
    # The timing of the servers is shortened in proportion, so that as many beat in a second.
    cluster = Cluster(program, fresh("nodes"), {
        "PRESENTLY_HEARTBEAT_INTERVAL": "10s", "PRESENTLY_INACTIVITY_TIMEOUT": "40s"} if options.quick else {})
    try:
        commands(table, options, cluster, cluster.open(10_000 if options.quick else 30_000))
    finally:
        cluster.close()
    cluster = Cluster(program, fresh("nodes"), {"PRESENTLY_HEARTBEAT_INTERVAL": "5m", "PRESENTLY_INACTIVITY_TIMEOUT": "15m"})
    try:
        count = options.users or (20_000 if options.quick else 100_000)
        beside_one_alone(table, options, cluster, cluster.open(count), count)
    finally:
        cluster.close()


# ------------------------------------------------------------------------------- told by one node, decided on another

class Awaited:
    """Changes of users that were asked for, until every watcher was told of them."""

    def __init__(self):
        self.watchers, self.by_user = 0, {}
        self.latencies_ms, self.missing = [], 0

    def watcher(self):
        self.watchers += 1
        return self.hear

    def hear(self, presences, whole):
        now = time.perf_counter()
        for presence in presences if not whole else []:
            awaited = self.by_user.get(presence["user_id"])
            if awaited and awaited[0] == presence["status"]:
                self.latencies_ms.append(1000 * (now - awaited[1]))
                awaited[2] -= 1
                if awaited[2] == 0:
                    awaited[3].set_result(None)
                    del self.by_user[presence["user_id"]]

    def begin(self, user, status):
        """From here on the clock runs, before the request is written."""
        told = asyncio.get_running_loop().create_future()
        if user in self.by_user:
            self.missing += 1
        self.by_user[user] = [status, time.perf_counter(), self.watchers, told]
        return told

    def taken(self):
        latencies, missing = self.latencies_ms, self.missing + len(self.by_user)
        self.latencies_ms, self.missing, self.by_user = [], 0, {}
        return latencies, missing


def succeeded(answer, what):
    if answer.status != 200:
        raise Failure(f"{what} was answered {answer.status}: {answer.body.decode(errors='replace')[:200]}")
    return answer


async def told_elsewhere(table, options, cluster, ids):
    a, others = cluster.nodes[0], cluster.nodes[1:]
    rounds, logins = (100, 30) if options.quick else (500, 150)
    rate, seconds = 500, 10 if options.quick else 30
    names, tokens = [str(user) for user in ids], [population.token(user) for user in ids]
    pool, awaited = traffic.Pool(a), Awaited()
    watchers = []
    for node in others:
        watchers.append(await traffic.Events.open(node, awaited.watcher(), cluster.admin))
        watchers.append(await traffic.Socket.open(node, awaited.watcher(), cluster.admin, names))

    def report(what, number, latencies, missing):
        if not latencies:
            raise Failure(f"nobody was told: {what}")
        table.below(f"{what}, told by two other nodes, {number:,} times: p99", percentile(latencies, 0.99), 100, "ms")
        table.add(f"{what}: p50", percentile(latencies, 0.5), "ms")
        table.add(f"{what}: at most", max(latencies), "ms")
        table.add(f"{what}: not told to a watcher", missing, "", "0", missing == 0, digits=0)

    async def change(user, status, raw, what):
        told = awaited.begin(user, status)
        answer = succeeded(await pool.ask(raw), what)
        await asyncio.wait([told], timeout=5)
        return answer

    # The last ones come by their passwords; all others are online.
    comers = range(len(names) - logins, len(names))
    for token in tokens[:-logins]:
        succeeded(await pool.ask(traffic.beat(token)), "a heartbeat")
    await asyncio.sleep(1)
    awaited.taken()

    for n in range(rounds):
        for status, activity in (("away", "idle"), ("online", "active")):
            await change(names[n], status, traffic.beat(tokens[n], activity), "a heartbeat")
    report("heartbeat that turns idle or active", 2 * rounds, *awaited.taken())
    for n in range(rounds):
        for status in ("offline", "online"):
            await change(names[n], status, traffic.set_status(names[n], status, cluster.admin), "set-online-status")
    report("status set by an admin", 2 * rounds, *awaited.taken())
    access, hashes_ms = [], []
    for n in comers:
        # An unknown name costs the hash and nothing else.
        began = time.perf_counter()
        if (await pool.ask(traffic.login(f"nobody{n}", population.PASSWORD))).status != 401:
            raise Failure("a login of an unknown name was let in")
        hashes_ms.append(1000 * (time.perf_counter() - began))
        answer = await change(names[n], "online", traffic.login(f"u{n + 1}", population.PASSWORD), "a login")
        access.append(answer.json()["tokens"]["access"])
    latencies, missing = awaited.taken()
    hash_ms = statistics.median(hashes_ms)
    table.add("the hash of a password, median", hash_ms, "ms")
    report("login without the hash", logins, [latency - hash_ms for latency in latencies], missing)
    for n, token in zip(comers, access):
        await change(names[n], "offline", traffic.request("POST", "/api/auth/logout/", token), "a logout")
    report("logout", logins, *awaited.taken())

    names, tokens = names[:-logins], tokens[:-logins]
    for token in tokens:
        succeeded(await pool.ask(traffic.beat(token, "active")), "a heartbeat")
    await asyncio.sleep(1)
    awaited.taken()
    idle, asked = [False] * len(names), []
    spent = [node.processor_s() for node in cluster.nodes]

    def turn(n):
        place = n % len(names)
        idle[place] = not idle[place]
        awaited.begin(names[place], "away" if idle[place] else "online")
        asked.append(asyncio.ensure_future(pool.ask(traffic.beat(tokens[place], "idle" if idle[place] else "active"))))

    late_s = await traffic.at_rate(rate, seconds, turn)
    refused = sum(answer.status != 200 for answer in await asyncio.gather(*asked))
    spent = [100 * (node.processor_s() - before) / seconds for node, before in zip(cluster.nodes, spent)]
    await asyncio.sleep(2)
    what = f"heartbeat that turns idle or active, {rate} a second"
    report(what, rate * seconds, *awaited.taken())
    table.add(f"{what}: refused", refused, "", "0", refused == 0, digits=0)
    table.add(f"{what}: left late by at most (the bench's own)", 1000 * late_s, "ms")
    table.add(f"{what}: processor of that node", spent[0], "% of one", digits=0)
    table.add(f"{what}: processor of another node", statistics.mean(spent[1:]), "% of one", digits=0)
    for watcher in watchers:
        watcher.close()
    pool.close()


# --------------------------------------------------------------------------------------------------- commands to Valkey

def sent_and_run(valkey, before):
    """(commands that clients sent, all that ran, those within scripts included), without the bench's own."""
    ran = {name: count - before.get(name, 0) for name, count in valkey.calls().items()}
    # Whoever asks for the figures asks once.
    ran["info"] = ran.get("info", 0) - 1
    return sum(count for name, count in ran.items() if name in SENT), sum(ran.values())


def commands(table, options, cluster, ids):
    interval = 10 if options.quick else 30
    rate, seconds = len(ids) // interval, 60 if options.quick else 90
    nodes, valkey = cluster.nodes, cluster.valkey

    def at_rest(label):
        before, began = valkey.calls(), time.monotonic()
        time.sleep(interval + 5)
        sent, ran = sent_and_run(valkey, before)
        spent = time.monotonic() - began
        table.add(f"commands to Valkey, {label}, nobody beats: sent by three nodes", sent / spent, "/s")
        table.add(f"commands to Valkey, {label}, nobody beats: run, those in scripts included", ran / spent, "/s")
        return sent / spent

    time.sleep(3)
    nobody = at_rest("nobody online")
    files = os.path.join(cluster.folder, "tokens-%d")
    population.write_tokens(ids, files, files=len(nodes))
    sticky = [files.replace("%d", str(n)) for n in range(len(nodes))]
    tokens = []
    for path in sticky:
        with open(path, encoding="ascii") as lines:
            tokens.append(lines.read().split())
    wander = [os.path.join(cluster.folder, f"wander-{n}") for n in range(len(nodes))]
    deal(tokens, wander, rate * (seconds + 10))

    for node, own, path in zip(nodes, tokens, sticky):
        # Each user once, at the pace at which they will beat.
        load.checked(load.run(node, load.BEAT, 2 + len(own) // 3_000, connections=16, tokens=path, rate=3_600))
    if not load.until(lambda: all(node.online() >= len(ids) for node in nodes), 60):
        raise Failure(f"only {min(node.online() for node in nodes):,} of {len(ids):,} users came online")
    time.sleep(3)

    # Of those whose node is the first one, with the sessions that they have.
    beside = list(zip(ids[:: len(nodes)], tokens[0]))[:10]

    def beats(what, paths, limit):
        transitions = reasons(nodes[0])
        before = valkey.calls()
        runs = [load.start(node, load.BEAT, seconds, connections=32, tokens=path, rate=rate / len(nodes)) for node, path in zip(nodes, paths)]
        ages, own = asyncio.run(last_seen_elsewhere(cluster, beside, seconds - 5))
        figures = [load.checked(load.result(run, seconds + 60)) for run in runs]
        sent, ran = sent_and_run(valkey, before)
        number = sum(figure["requests"] for figure in figures) + own
        table.add(f"{what}: heartbeats of {len(ids):,} users for {seconds} s", number / seconds, "/s", digits=0)
        table.below(f"{what}: commands sent to Valkey by heartbeat", sent / number, limit, "", digits=3)
        table.below(f"{what}: commands run there by heartbeat, those in scripts included", ran / number, limit, "", digits=3)
        table.add(f"{what}: latency of heartbeats, p99, worst node", max(figure["p99_us"] for figure in figures) / 1000, "ms")
        changed = {reason: count - transitions.get(reason, 0) for reason, count in reasons(nodes[0]).items()}
        told = ", ".join(f"{count:.0f} {reason}" for reason, count in changed.items() if count)
        table.add(f"{what}: transitions", told or "0", "", "0", not told)
        table.below(f"{what}: oldest last_seen told by another node, {len(ages):,} asked", max(ages), 2, "s")

    beats("each user always to one node", sticky, 0.05)
    beats("each heartbeat to any node", wander, 1)
    load.until(lambda: not sum(node.metric("presently_pending_effects") for node in nodes), 30)
    time.sleep(3)
    transitions = sum(reasons(nodes[0]).values())
    full = at_rest(f"{len(ids):,} online")
    gone = sum(reasons(nodes[0]).values()) - transitions
    table.add("commands to Valkey at rest: sent with everybody online more than with nobody", full - nobody, "/s", "≤ 1 /s", full - nobody <= 1)
    table.add("commands to Valkey at rest: transitions meanwhile", gone, "", "0", gone == 0, digits=0)


def reasons(node):
    """{reason and status: how many transitions so far}."""
    counted = {}
    for name, value in node.metrics().items():
        if name.startswith("presently_transitions_total{"):
            counted[" ".join(re.findall(r'"([^"]*)"', name))] = value
    return counted


def deal(tokens, paths, number):
    """The same users in the same turn, each heartbeat to a node by lot."""
    lots = random.Random(1)
    everybody = [token for own in tokens for token in own]
    outs = [open(path, "w", encoding="ascii", buffering=1 << 20) for path in paths]
    for n in range(number):
        outs[lots.randrange(len(outs))].write(everybody[n % len(everybody)] + "\n")
    for out in outs:
        out.close()


async def last_seen_elsewhere(cluster, people, seconds):
    """Ten who beat at the first node ten times a second, as the others tell of them: (ages in seconds, heartbeats)."""
    pools = [traffic.Pool(node) for node in cluster.nodes]
    ids, tokens = zip(*people)
    ages, beats, asked = [], [], []

    async def ask(n):
        user = ids[n % len(ids)]
        told = succeeded(await pools[1 + n % 2].ask(traffic.request("GET", f"/api/presence/{user}", cluster.key)), "a presence").json()
        ages.append((moment(told["as_of"]) - moment(told["last_seen"])).total_seconds())

    async def beating():
        await traffic.at_rate(100, seconds, lambda n: beats.append(asyncio.ensure_future(pools[0].ask(traffic.beat(tokens[n % len(ids)])))))

    async def asking():
        await asyncio.sleep(3)
        await traffic.at_rate(100, seconds - 3, lambda n: asked.append(asyncio.ensure_future(ask(n))))

    await asyncio.gather(beating(), asking())
    await asyncio.gather(*asked)
    for answer in await asyncio.gather(*beats):
        succeeded(answer, "a heartbeat")
    for pool in pools:
        pool.close()
    return ages, len(beats)


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


# ------------------------------------------------------------------------------------------------ one of three, and alone

def beside_one_alone(table, options, cluster, ids, count):
    a, followers = cluster.nodes[0], cluster.nodes[1:]
    alone, others = cluster.alone(count)
    tokens = {}
    for server, users in ((a, ids), (alone, others)):
        tokens[server] = os.path.join(server.folder, "tokens")
        population.write_tokens(users, tokens[server])

    def resident():
        return {server: server.resident_bytes() for server in (a, alone, *followers)}

    before = resident()
    for server, label in ((alone, "alone"), (a, "on one of three")):
        began = time.monotonic()
        fill = load.start(server, load.BEAT, 600, connections=64, tokens=tokens[server])
        try:
            load.until(lambda: server.online() >= count or fill.poll() is not None, 400, every_s=0.1)
            filled_s = time.monotonic() - began
        finally:
            load.interrupt(fill)
        figures = load.result(fill, 30)
        if server.online() < count:
            raise Failure(f"only {server.online():,} of {count:,} users came online, {figures['status_errors']:,} answers were errors")
        table.add(f"{count:,} users come online {label}", count / filled_s, "transitions/s", digits=0)
        table.add(f"{count:,} users come online {label}: latency, p99", figures["p99_us"] / 1000, "ms")
        table.add(f"{count:,} users come online {label}: refused", figures["status_errors"], "", digits=0)
        settled = cluster.nodes if server is a else [alone]
        load.until(lambda: all(node.online() >= count and not node.metric("presently_pending_effects") for node in settled), 60)
    after = resident()
    for server, label in ((alone, "alone"), (a, "of three which hears them"), (followers[0], "of three which hears of them")):
        table.add(f"memory of a node {label}, a user", (after[server] - before[server]) / count, "B", digits=0)

    users = 10_000
    small = {}
    for server, path in tokens.items():
        small[server] = path + "-few"
        with open(path, encoding="ascii") as lines, open(small[server], "w", encoding="ascii") as out:
            out.writelines(line for _, line in zip(range(users), lines))
    rounds, seconds = (3, 4) if options.quick else (5, 10)
    rates, costs, latencies, follower_us = {a: [], alone: []}, {a: [], alone: []}, {a: [], alone: []}, []
    for server in (a, alone):
        load.checked(load.run(server, load.BEAT, 2, connections=64, tokens=small[server], memory=True))
    for _ in range(rounds):
        for server in (alone, a):
            spent, theirs = server.processor_s(), sum(node.processor_s() for node in followers)
            figures = load.checked(load.run(server, load.BEAT, seconds, connections=64, tokens=small[server], memory=True))
            rates[server].append(figures["per_s"])
            latencies[server].append(figures["p99_us"] / 1000)
            costs[server].append(1e6 * (server.processor_s() - spent) / figures["requests"])
            if server is a:
                follower_us.append(1e6 * (sum(node.processor_s() for node in followers) - theirs) / len(followers) / figures["requests"])
    median = statistics.median
    table.add("heartbeats, 64 connections, alone on PostgreSQL", median(rates[alone]), "/s", digits=0)
    table.add("heartbeats, 64 connections, one node of three, the others hear of them", median(rates[a]), "/s", digits=0)
    table.add("one node of three ÷ alone", median([one / other for one, other in zip(rates[a], rates[alone])]))
    table.add("heartbeat alone: processor time", median(costs[alone]), "µs")
    table.add("heartbeat on one of three: its processor time", median(costs[a]), "µs")
    table.add("heartbeat on one of three: processor time of each other node", median(follower_us), "µs")
    table.add("heartbeat alone: latency at full load, p99", median(latencies[alone]), "ms")
    table.add("heartbeat on one of three: latency at full load, p99", median(latencies[a]), "ms")

    fourth = cluster.add_node()
    joined_s = fourth.start()
    known = fourth.online()
    table.add(f"a fourth node joins with {count:,} online: from exec to ready", joined_s, "s")
    table.add(f"a fourth node joins with {count:,} online: of them it knows", known, "", f"≥ {count:,}", known >= count, digits=0)
