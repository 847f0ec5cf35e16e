"""`./test soak`: servers under mixed load while things go wrong, held against a model of what is true of every user."""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import population
import server as servers
import traffic
from one_node import OneNode
from people import People, kind_of
from server import Failure
from three_nodes import ThreeNodes
from truth import Violations
from watchers import admin_events, user_socket
from world import GRACE_S, INTERVAL_S, LEASE_S, TIMEOUT_S, TOKEN_S, moment, now

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
USERS, GUESTS, WATCHERS = 120, 20, 3
ASKED_EVERY_S = 0.4
# From the last mend until everybody is ready; a PostgreSQL that was away is tried again each five seconds.
READY_WITHIN_S = 25
# From then until everything that was not answered is certain.
CERTAIN_WITHIN_S = 40
HISTORIES = 20
STEPS_FADE_S = 120


def say(text):
    print(text, flush=True)


class Soak:
    def __init__(self, world, ids):
        self.world = world
        self.violations = world.violations = Violations(world)
        ids = [str(user) for user in ids]
        self.people = People(world, ids[:USERS], GUESTS)
        self.names = [person.name for person in self.people.all]
        eyes = [population.token(int(user), TOKEN_S) for user in ids[USERS:]]
        self.eye = eyes[0]
        self.watchers = [admin_events(world, self.people) for _ in world.nodes] + [user_socket(world, self.people, eye) for eye in eyes[1:]]
        self.wrong, self.asked, self.rounds, self.worst_ready_s = {}, 0, 0, 0.0

    async def run(self, seconds):
        world, until = self.world, now() + seconds
        await world.begin()
        tasks = [asyncio.ensure_future(task) for task in (self.people.go_on(), self.ask(), *(one.go_on() for one in self.watchers))]
        try:
            while now() < until:
                for task in tasks:
                    if task.done():
                        task.result()
                await self.round()
        finally:
            for task in tasks:
                task.cancel()
            await world.end()

    async def round(self):
        world, people = self.world, self.people
        world.round, world.began = self.rounds, now()
        self.since = time.time()
        for watcher in self.watchers:
            watcher.heard = {}
        counts = [(watcher.snapshots, watcher.breaks) for watcher in self.watchers]
        await world.wrong(world.draw())
        await asyncio.sleep(world.lots.uniform(0, 3))
        mended = now()
        while not world.is_calm():
            if now() > mended + READY_WITHIN_S:
                self.violations.add("not ready after the faults", "nodes", f"{await world.ready()} after {READY_WITHIN_S} s")
                break
            await asyncio.sleep(0.1)
        self.worst_ready_s = max(self.worst_ready_s, now() - mended)
        # Everybody comes to rest, and whoever is silent has the time to go.
        people.frozen, began = True, now()
        for person in people.all:
            person.holds = False
        while not all(person.holds for person in people.all):
            if now() > began + CERTAIN_WITHIN_S:
                open_ones = [f"{person.name} ({person.tell(now())})" for person in people.all if not person.holds]
                self.violations.add("acts are not answered though nothing is wrong", f"{len(open_ones)} users", "; ".join(open_ones[:3]))
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(TIMEOUT_S + world.bound + world.lag + 1)
        if world.is_calm():
            await self.check(counts)
        people.frozen = False
        self.rounds += 1

    # ---- what is asked all the time

    async def query(self, number, token, names):
        sent = now()
        answer = await self.world.pools[number].ask(traffic.request("POST", "/api/presence/query", token, {"users": names}))
        return (answer.json()["presences"] if answer.status == 200 else None), sent, now()

    async def ask(self):
        while True:
            await asyncio.sleep(ASKED_EVERY_S)
            number, to_admin = self.world.lots.randrange(len(self.world.nodes)), self.world.lots.random() < 0.7
            calm = self.world.is_calm()
            told, sent, done = await self.query(number, self.world.admin if to_admin else self.eye, self.names)
            # Of several nodes one that is cut off may not know: they are judged when nothing is wrong.
            if told and (self.world.lag == 0 or (calm and self.world.is_calm())):
                self.asked += 1
                self.judge(told, number, to_admin, sent, done)

    def judge(self, told, number, to_admin, sent, done):
        for presence in told:
            person, status = self.people.by_id[presence["user_id"]], presence["status"]
            may = person.truth.shown(sent, done, self.world.lag, to_admin)
            key = (person.name, number, to_admin)
            if status in may:
                self.wrong.pop(key, None)
                # Others are not told what happened while somebody was invisible, even later.
                if to_admin:
                    self.last_seen(person, presence, number, sent)
            elif key not in self.wrong:
                kind = kind_of(person, status, may) if to_admin else "shown to others otherwise than they may see"
                self.wrong[key] = kind
                self.violations.add(kind, person.name, f"{status} at node {number}, may be {sorted(may)}; {person.tell(sent)}")

    def last_seen(self, person, presence, number, sent):
        truth = person.truth
        oldest = truth.last_seen(sent, self.world.lag + (1 if self.world.lag else 0))
        if oldest and (not presence["last_seen"] or moment(presence["last_seen"]) < moment(oldest) - self.world.last_seen_older_s):
            kind = "last_seen is older than was acknowledged"
            if self.wrong.get((person.name, kind)) != oldest:
                self.wrong[(person.name, kind)] = oldest
                self.violations.add(kind, person.name, f"{presence['last_seen']} at node {number}, acknowledged {oldest}")

    # ---- what must agree at the end of a round

    async def check(self, counts):
        world = self.world
        views = []
        for number in range(len(world.nodes)):
            told, sent, done = await self.query(number, world.admin, self.names)
            if told is None:
                self.violations.add("a query is not answered though nothing is wrong", f"node {number}", "")
                continue
            self.judge(told, number, True, sent, done)
            others, sent, done = await self.query(number, self.eye, self.names)
            if others:
                self.judge(others, number, False, sent, done)
            views.append({presence["user_id"]: presence["status"] for presence in told})
        if not views:
            return
        for number, view in enumerate(views[1:], 1):
            self.compare("nodes disagree", f"nodes 0 and {number}", views[0], view)
        await self.until_same("the database disagrees", "database", views[0], lambda: asyncio.to_thread(world.presences))
        for watcher in self.watchers:
            if watcher.is_admin and watcher.status:
                self.compare("a watcher disagrees", watcher.name, views[0], watcher.status)
        # Lines of a wrong clock may stand among those of this round.
        if world.stepped.within(now() - STEPS_FADE_S, now()) == 0:
            whole = [watcher for watcher, before in zip(self.watchers, counts) if watcher.is_admin and watcher.snapshots == before[0]]
            await self.histories(whole)

    def compare(self, kind, where, ours, theirs):
        wrong = [f"{user}: {status} / {theirs.get(user, 'offline')}" for user, status in ours.items() if theirs.get(user, "offline") != status]
        if wrong:
            self.violations.add(kind, where, f"{len(wrong)} users: {', '.join(wrong[:5])}")
        return wrong

    async def until_same(self, kind, where, ours, look):
        """What is written behind needs a moment."""
        for _ in range(20):
            theirs = await look()
            if all(theirs.get(user, "offline") == status for user, status in ours.items()):
                return
            await asyncio.sleep(0.2)
        self.compare(kind, where, ours, theirs)

    async def histories(self, whole):
        """Each transition begins where the one before ended, and whoever watched all the time was told just these."""
        world = self.world
        since, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (self.since - 1, self.since + 86_400))
        for person in world.lots.sample(self.people.all, HISTORIES):
            raw = traffic.request("GET", f"/api/presence/{person.name}/history?from={since}&to={end}", world.admin)
            answer = await world.pools[world.lots.randrange(len(world.nodes))].ask(raw)
            if answer.status != 200:
                continue
            lines = answer.json()["transitions"]
            if any(moment(line["at"]) > time.time() + 1 for line in lines):
                # From a round whose clock was ahead: they would stand among those of this one.
                continue
            steps = [(line["from"], line["to"]) for line in lines]
            for before, after in zip(steps, steps[1:]):
                if before[1] != after[0]:
                    self.violations.add("the history has a gap or a line twice", person.name, " ".join(f"{a}->{b}" for a, b in steps))
                    break
            for watcher in whole:
                told = watcher.heard.get(person.name, [])
                # The history reaches back a little further than the round.
                if told and told != [to for _, to in steps][-len(told):]:
                    self.violations.add("told otherwise than the history says", person.name,
                                        f"{watcher.name} heard {told}, the history says {[to for _, to in steps]}")

    # ---- the end

    def told(self, seconds, seed):
        people, world = self.people, self.world
        acts = sum(people.asked.values())
        say(f"\n== soak of {world.name}, seed {seed}: {seconds / 60:.0f} min")
        say(f"   timeout {TIMEOUT_S} s, interval {INTERVAL_S} s, grace {GRACE_S} s" + (f", lease {LEASE_S} s" if world.lag else ""))
        rows = {
            "rounds": self.rounds, "faults": world.faults, "users": len(people.all), "acts of users and administrators": acts,
            "of them answered by an error": sum(people.failed.values()), "of them not answered": people.unanswered,
            "transitions told to watchers": sum(watcher.told for watcher in self.watchers),
            "snapshots told to watchers": sum(watcher.snapshots for watcher in self.watchers),
            "answers about everybody that were judged": self.asked,
            "ready after the last mend, at most": f"{self.worst_ready_s:.1f} s",
            "ready after a start, at most": f"{world.slowest_start_s:.1f} s",
            "offline told after the deadline, at most": f"{max(watcher.lateness for watcher in self.watchers):.2f} s",
            "the soak itself did not run for": f"{world.stalled_s:.1f} s",
        }
        for name, value in rows.items():
            say(f"   {name}: {value:,}" if isinstance(value, int) else f"   {name}: {value}")
        for what, count in people.asked.most_common():
            say(f"      {what}: {count:,}")
        for what, count in people.failed.most_common():
            say(f"      {what}: {count:,} times")
        for line in world.skipped:
            say(f"   skipped: {line}")
        if not self.violations.counted:
            say("   violations: none")
        for kind, count in self.violations.counted.most_common():
            say(f"   VIOLATED {count} times: {kind}")
            for example in self.violations.examples[kind]:
                say(f"      {example}")
        return sum(self.violations.counted.values())


def soak(kind, program, minutes, seed, faults):
    folder = os.path.join(TARGET, "soak", f"{kind.name.replace(' ', '-')}-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    say(f"== soak of {kind.name} for {minutes:g} min, seed {seed}: servers' logs are in {os.path.relpath(folder)}")
    world = kind(program, folder, random.Random(seed), say)
    world.only = faults
    try:
        one, began = Soak(world, world.open(USERS + WATCHERS)), time.monotonic()
        try:
            asyncio.run(one.run(60 * minutes))
        except KeyboardInterrupt:
            say("interrupted: so far")
        return one.told(time.monotonic() - began, seed)
    finally:
        world.close()


def main():
    parser = argparse.ArgumentParser(prog="./test soak", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=60, help="how long each of them runs (default 60)")
    parser.add_argument("--nodes", type=int, choices=(1, 3), help="one node on SQLite, or three on PostgreSQL and Valkey (default: one after the other)")
    parser.add_argument("--seed", type=int, default=None, help="of the faults and the acts; the same seed draws the same, at other moments")
    parser.add_argument("--faults", default="", metavar="WORD", help="only those whose name has this in it, such as kill")
    parser.add_argument("--program", default=os.path.join(TARGET, "release", "presently"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    servers.leave_unpinned()
    # An end from outside is an end like any other: the servers go with it.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    kinds = {1: [OneNode], 3: [ThreeNodes], None: [OneNode, ThreeNodes]}[options.nodes]
    try:
        violated = sum(soak(kind, os.path.abspath(options.program), options.minutes, seed, options.faults) for kind in kinds)
    except Failure as failure:
        say(f"the soak failed: {failure}")
        return 1
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
