"""Who watches everybody, comes back when the connection breaks, and holds each word against the one before and against the truth."""

import asyncio
import time

import traffic
from server import Failure
from world import moment, now

# A word that is older than this when it arrives is judged by nobody.
ARRIVES_WITHIN_S = 60


class Watcher:
    """`kind` is one of `traffic`'s streams. Admins see everybody as they are; to others the invisible are offline."""

    def __init__(self, world, people, kind, token, users, is_admin):
        self.world, self.people, self.kind, self.token, self.users, self.is_admin = world, people, kind, token, users, is_admin
        self.status, self.heard, self.breaks, self.snapshots, self.told = {}, {}, 0, 0, 0
        self.position, self.stream = None, None
        self.lateness = 0.0
        self.name = f"a watcher ({kind.__name__}, {'admin' if is_admin else 'user'})"

    async def go_on(self):
        while True:
            number = self.world.lots.randrange(len(self.world.nodes))
            try:
                self.stream = await self.kind.open(self.world.nodes[number], self.hear, self.token, self.users, self.position)
                await self.stream.ended
            except (OSError, Failure, TimeoutError):
                pass
            if self.stream:
                self.stream.close()
                self.position = self.stream.position or self.position
            self.breaks += 1
            await asyncio.sleep(self.world.lots.uniform(0.1, 1))

    def hear(self, presences, whole):
        arrived = now()
        if whole:
            self.snapshots += 1
            told = {presence["user_id"]: presence["status"] for presence in presences}
            # Of everybody only those are told who are not offline.
            self.status = told if self.users else {user: told.get(user, "offline") for user in {*told, *self.status}}
            self.heard.clear()
            return
        for presence in presences:
            self.told += 1
            user, status = presence["user_id"], presence["status"]
            before = self.status.get(user, "offline")
            if status == before:
                self.world.violations.add("told twice", user, f"{self.name} heard {status} again")
            self.status[user] = status
            self.heard.setdefault(user, []).append(status)
            person = self.people.by_id.get(user)
            if person:
                self.judge(person, status, presence["since"], arrived)

    def judge(self, person, status, since, arrived):
        world, truth = self.world, person.truth
        if not self.is_admin and truth.invisible.values | truth.invisible.before != {False}:
            return
        # A word may come late, to one who was away: what counts is when it was decided, as far as a clock that was right says so.
        at = arrived - max(0.0, time.time() - moment(since))
        if at < arrived - ARRIVES_WITHIN_S or world.stepped.within(arrived - ARRIVES_WITHIN_S, arrived):
            return
        if status == "offline":
            if not truth.may_be_decided_offline(at - 0.05, at):
                world.violations.add("told offline though they beat", person.name, f"{self.name}, {person.tell(at)}")
            latest = truth.possible(arrived)
            settled = truth.override.values == {None} and truth.barred.values == {False}
            if latest < at and truth.gone is None and settled and max(truth.override.changed, truth.barred.changed) < latest:
                self.lateness = max(self.lateness, world.silence_at_least(latest, at) - world.timeout)
        elif (world.is_calm() or world.lag == 0) and not truth.may_be_decided_present(at, world.lag):
            world.violations.add("told present without a sign of life", person.name, f"{self.name} heard {status}, {person.tell(at)}")


def admin_events(world, people):
    return Watcher(world, people, traffic.Events, world.admin, None, True)


def user_socket(world, people, token):
    return Watcher(world, people, traffic.Socket, token, list(people.by_id), False)
