"""People: each comes, beats, falls silent and goes as the lots say, one act after the other, and keeps book of every answer."""

import asyncio
import collections
import time

import population
import traffic
from truth import PRESENT, Truth
from world import INTERVAL_S, TIMEOUT_S, moment, now

# A login hashes a password, and so waits for a processor.
ACT_WITHIN_S = 6
# A node that did not answer is left alone for a while, as a load balancer does.
SHUNNED_S = 3
# No soak is that long.
FOR_GOOD_S = 5_000_000
HOLDS_EVERY_S = 0.2
RETRIES_EVERY_S = 0.5
FUTURE_S = 1


class Login:
    def __init__(self, token, made):
        self.token, self.made = token, made


class People:
    def __init__(self, world, ids, applications):
        self.world = world
        self.asked, self.failed, self.unanswered = collections.Counter(), collections.Counter(), 0
        self.frozen = False
        users = [Person(self, number, str(user), f"u{number + 1}") for number, user in enumerate(ids)]
        # Users without accounts, whom an application's back end reports.
        self.all = [*users, *(Guest(self, number, f"guest-{number}", None) for number in range(applications))]
        self.by_id = {person.name: person for person in self.all}

    async def go_on(self):
        await asyncio.gather(*(person.go_on() for person in self.all))

    async def ask(self, person, what, raw, within_s=None):
        """(answer, which node, when it was sent, when it was answered)."""
        nodes, lots = self.world.nodes, self.world.lots
        if person.wanders:
            person.node = lots.randrange(len(nodes))
        for _ in nodes:
            if now() - nodes[person.node].failed < SHUNNED_S:
                person.node = (person.node + 1) % len(nodes)
        number, sent, calm = person.node, now(), self.world.is_calm()
        answer = await self.world.pools[number].ask(raw, within_s)
        self.asked[what] += 1
        if not answer.status:
            nodes[number].failed, self.unanswered = now(), self.unanswered + 1
        elif answer.status >= 500:
            self.failed[f"{what}: {answer.status}"] += 1
            # Whoever comes with too many others at once is asked to wait.
            if calm and self.world.is_calm() and b'"busy"' not in answer.body:
                self.world.violations.add("an error though nothing is wrong", person.name, f"{what}: {answer.status} {answer.body[:200]}")
        return answer, number, sent, now()


class Person:
    def __init__(self, people, number, name, login):
        self.people, self.number, self.name, self.login = people, number, name, login
        self.world, self.lots = people.world, people.world.lots
        self.truth = Truth(people.world)
        self.wanders, self.node = self.lots.random() < 0.2, self.lots.randrange(len(people.world.nodes))
        self.logins, self.risks, self.mixed, self.holds = [], [], False, False

    def tell(self, at):
        """What is known of them, for whoever reads of a violation."""
        heard = ", ".join(f"{one.what} {one.done - at:+.2f}" for one in self.truth.evidence[-3:])
        gone = f"; gone {self.truth.gone - at:+.2f}" if self.truth.gone and self.truth.gone > 0 else ""
        return (f"heard at {heard or 'never'}{gone}; override {self.truth.override.values}, barred {self.truth.barred.values}, "
                f"invisible {self.truth.invisible.values}")

    async def go_on(self):
        await asyncio.sleep(self.lots.uniform(0, INTERVAL_S))
        while True:
            if self.people.frozen:
                await self.hold()
            else:
                await self.step()

    # ---- one step

    async def step(self):
        truth = self.truth
        if not truth.barred.certain or truth.barred.value:
            if self.lots.random() < 0.5:
                return await self.activate()
            return await asyncio.sleep(self.lots.uniform(1, 5))
        if not truth.override.certain or (truth.override.value and self.lots.random() < 0.15):
            return await self.clear()
        if not self.logins:
            if self.lots.random() < 0.6:
                return await self.sign_in()
            return await asyncio.sleep(self.lots.uniform(1, 5))
        if not truth.invisible.certain:
            return await self.invisible(False)
        steps = [
            (45, lambda: self.beats(self.lots.uniform(3, 10), self.lots.choice(("active", "active", "idle")))),
            (14, lambda: asyncio.sleep(self.lots.uniform(1, 12))), (5, self.log_out), (2, self.log_out_all), (3, self.sign_in),
            (5, lambda: self.invisible(not truth.invisible.value)), (5, self.tab), (5, self.browse)]
        if truth.override.value is None:
            steps += [(3, self.force_logout), (8, self.set_status), (6, self.override)]
            if not truth.invisible.value:
                steps.append((3, self.suspend))
        weights, acts = zip(*steps)
        await self.lots.choices(acts, weights)[0]()

    async def hold(self):
        """Everything that was not answered is asked again until it is certain; then they beat on, or stay silent, and nothing else."""
        truth = self.truth
        if not self.world.is_calm():
            return await asyncio.sleep(HOLDS_EVERY_S)
        if not truth.barred.certain:
            await self.activate()
        elif not truth.override.certain or truth.override_ends:
            await self.clear()
        elif not truth.invisible.certain:
            await (self.invisible(False) if self.logins else self.sign_in())
        else:
            self.holds = truth.possible(now()) < float("inf")
            if self.logins and not truth.barred.value and self.number % 4:
                return await self.beats(INTERVAL_S, "idle" if self.number % 3 == 0 else "active")
        await asyncio.sleep(HOLDS_EVERY_S)

    # ---- evidence

    async def evidence(self, what, login, raw, activity):
        """A request with this login's token; its answer, when it was evidence."""
        self.truth.send(now())
        answer, number, sent, done = await self.people.ask(self, what, raw)
        if answer.status == 200:
            last_seen = answer.json().get("last_seen") if what == "heartbeat" else None
            self.truth.heard(what, login, sent, done, None if self.mixed else activity, self.believable(last_seen))
            return answer
        if not answer.status or answer.status >= 500:
            self.truth.unanswered(sent, number)
            return None
        self.truth.refused()
        if answer.status in (401, 403) and login in self.logins:
            self.logins.remove(login)
            self.shut_out(login, answer)
        return None

    def believable(self, last_seen):
        """False where a clock is wrong without our doing: nothing follows from it then."""
        if last_seen and moment(last_seen) > time.time() + FUTURE_S:
            if self.world.stepped.spans:
                self.people.failed["last_seen is ahead of the time after a clock step"] += 1
            else:
                self.world.violations.add("last_seen is ahead of the time", self.name, last_seen)
            return False
        return last_seen

    def shut_out(self, login, answer):
        """A token that was good is not any more: somebody must have wanted that."""
        if self.truth.barred.values != {False} or self.truth.barred.before != {False}:
            return
        for number, sent in self.risks:
            over = self.world.over(number, sent, now())
            if over is None or over + 1 > login.made:
                return
        if self.world.stepped.within(login.made - 30, now()) > 0:
            # Made in another time than it is read in.
            self.people.failed["tokens refused after a clock step"] += 1
            return
        self.world.violations.add("signed out without a cause", self.name, f"{answer.status} {answer.body[:120]}")

    async def beats(self, seconds, activity):
        until = now() + seconds
        frozen = self.people.frozen
        while self.logins and now() < until and self.people.frozen == frozen:
            login = self.lots.choice(self.logins)
            began = now()
            heard = await self.evidence("heartbeat", login, traffic.beat(login.token, activity), activity)
            if not heard and self.logins:
                # At the next node, as a load balancer would.
                await asyncio.sleep(RETRIES_EVERY_S)
                continue
            await asyncio.sleep(max(0.0, began + INTERVAL_S - now()))

    async def tab(self):
        self.mixed = True
        login = self.lots.choice(self.logins)
        raw = traffic.request("POST", "/api/users/heartbeat/", login.token, {"session": "tab", "activity": "active"})
        await self.evidence("heartbeat of a tab", login, raw, None)

    async def browse(self):
        login = self.lots.choice(self.logins)
        path = self.lots.choice(("/api/presence/online?limit=50", "/api/users/all-users/", "/api/auth/profile/", "/api/presence/count",
                                 f"/api/presence/{self.name}/history", "/api/users/admin/users/online/?limit=20"))
        await self.evidence("reading", login, traffic.request("GET", path, login.token), None)

    async def invisible(self, wanted):
        login, register = self.lots.choice(self.logins), self.truth.invisible
        register.asked(wanted)
        self.truth.send(now())
        raw = traffic.request("PUT", "/api/presence/me", login.token, {"invisible": wanted})
        answer, number, sent, done = await self.people.ask(self, "invisible", raw, ACT_WITHIN_S)
        if answer.status == 200:
            self.truth.heard("invisible", login, sent, done, None)
            register.acknowledged(wanted, done, self.world)
        elif not answer.status or answer.status >= 500:
            self.truth.unanswered(sent, number)
            register.unanswered(wanted, sent, number)
            await asyncio.sleep(2 * RETRIES_EVERY_S)
        else:
            self.truth.refused()
            register.refused()
            if answer.status in (401, 403):
                self.logins.remove(login)
                self.shut_out(login, answer)

    # ---- coming and going

    async def sign_in(self):
        self.truth.send(now())
        answer, number, sent, done = await self.people.ask(self, "login", traffic.login(self.login, population.PASSWORD), ACT_WITHIN_S)
        if answer.status == 200:
            told = answer.json()
            login = Login(told["tokens"]["access"], done)
            self.mixed = self.mixed or bool(self.logins)
            self.logins.append(login)
            last_seen = self.believable(told["user"]["last_seen"])
            self.truth.heard("login", login, sent, done, None if self.mixed else "active", last_seen, durable=True)
        elif not answer.status or answer.status >= 500:
            self.truth.unanswered(sent, number)
            self.mixed = True
            # Not all at once: each waits for a processor.
            await asyncio.sleep(self.lots.uniform(1, 4))
        else:
            self.truth.refused()
            # All come from one address: logins that were given up make those after them wait.
            if self.truth.barred.values == {False} and answer.status != 429:
                self.world.violations.add("an active account cannot sign in", self.name, f"{answer.status} {answer.body[:120]}")
            await asyncio.sleep(self.lots.uniform(1, 4))

    async def ends(self, what, raw, logins, by_user=False):
        """An act that ends these logins; something when it was acknowledged. `by_user`: where it fails, it was a sign of life."""
        for login in logins:
            self.truth.ending(login if len(logins) < len(self.logins) else None)
        if by_user:
            self.truth.send(now())
        answer, number, sent, done = await self.people.ask(self, what, raw, ACT_WITHIN_S)
        self.logins = [login for login in self.logins if login not in logins]
        if by_user and answer.status == 200:
            self.truth.refused()
        elif by_user:
            self.truth.unanswered(sent, number)
        if 200 <= answer.status < 300:
            if not self.logins and (what != "logout" or not self.mixed):
                self.truth.ended(done)
                self.mixed = False
            return answer, sent, done
        if not answer.status or answer.status >= 500:
            self.risks = [*self.risks[-4:], (number, sent)]
        self.mixed = True
        return None

    async def log_out(self):
        login = self.lots.choice(self.logins)
        if await self.ends("logout", traffic.request("POST", "/api/auth/logout/", login.token), [login]):
            await self.is_revoked(login)

    async def log_out_all(self):
        login = self.lots.choice(self.logins)
        if await self.ends("logout-all", traffic.request("POST", "/api/auth/logout-all/", login.token), list(self.logins), True):
            await self.is_revoked(login)

    async def force_logout(self):
        login = self.lots.choice(self.logins)
        if await self.ends("force-logout", self.act("force-logout"), list(self.logins)):
            await self.is_revoked(login)

    async def is_revoked(self, login):
        """An acknowledged end ends the token, at once and everywhere."""
        if self.lots.random() < 0.5:
            return
        await asyncio.sleep(self.lots.choice((0, 1)) + self.world.lag / 2)
        gone, calm = self.truth.gone, self.world.is_calm()
        self.truth.send(now())
        answer, number, sent, done = await self.people.ask(self, "a revoked token", traffic.beat(login.token))
        if answer.status == 200:
            beside = "" if calm or self.world.lag == 0 else " beside a fault"
            self.world.violations.add(f"a revoked token was served{beside}", self.name, f"by node {number}")
            self.truth.heard("a revoked token", login, sent, done, None)
            self.truth.ending()
            self.mixed = True
        elif answer.status and answer.status < 500:
            self.truth.refused()
            self.truth.gone = gone
        else:
            self.truth.unanswered(sent, number)

    # ---- administration

    def act(self, name, body=None):
        return traffic.request("POST", f"/api/users/admin/users/{self.name}/{name}/", self.world.admin, body)

    async def suspend(self):
        register, logins = self.truth.barred, list(self.logins)
        register.asked(True)
        self.truth.ending()
        answer, number, sent, done = await self.people.ask(self, "suspend", self.act(self.lots.choice(("suspend", "ban"))), ACT_WITHIN_S)
        self.logins, self.mixed = [], True
        if answer.status == 200:
            register.acknowledged(True, done, self.world)
            self.truth.ended(done)
            self.mixed = False
            await self.is_revoked(self.lots.choice(logins))
        elif not answer.status or answer.status >= 500:
            register.unanswered(True, sent, number)
            self.risks = [*self.risks[-4:], (number, sent)]
        else:
            register.refused()

    async def activate(self):
        await self.register(self.truth.barred, False, "activate", self.act("activate"))

    async def set_status(self):
        status = self.lots.choice(("online", "away", "offline", "offline"))
        raw = traffic.set_status(self.name, status, self.world.admin)
        if status == "offline":
            logins = self.logins
            self.truth.ending()
            answer, number, sent, done = await self.people.ask(self, "set offline", raw, ACT_WITHIN_S)
            if answer.status == 200:
                self.truth.ended(done)
            self.logins = logins
            return await asyncio.sleep(self.lots.uniform(0, 2))
        self.truth.send(now())
        answer, number, sent, done = await self.people.ask(self, f"set {status}", raw, ACT_WITHIN_S)
        if answer.status == 200:
            self.truth.heard(f"set {status}", None, sent, done, "active" if status == "online" else "idle", durable=True)
        elif not answer.status or answer.status >= 500:
            self.truth.unanswered(sent, number)
        else:
            self.truth.refused()
        await asyncio.sleep(self.lots.uniform(0, 1))

    async def override(self):
        status = self.lots.choice(("online", "away", "offline"))
        length = self.lots.choice((5, FOR_GOOD_S, FOR_GOOD_S))
        raw = self.act("set-online-status", {"status": status, "expires_in": length})
        self.truth.override_ends = None
        sent, done = await self.register(self.truth.override, status, "override", raw)
        if length < FOR_GOOD_S and done:
            self.truth.override_ends = (status, sent, done, length)

    async def clear(self):
        done = await self.register(self.truth.override, None, "override cleared", self.act("set-online-status", {"status": None}))
        if done[1]:
            self.truth.override_ends = None

    async def register(self, register, value, what, raw):
        """Sets a register; (when it was sent, when it was acknowledged or None)."""
        register.asked(value)
        answer, number, sent, done = await self.people.ask(self, what, raw, ACT_WITHIN_S)
        if answer.status == 200:
            register.acknowledged(value, done, self.world)
            return sent, done
        if not answer.status or answer.status >= 500:
            register.unanswered(value, sent, number)
        else:
            register.refused()
        await asyncio.sleep(2 * RETRIES_EVERY_S)
        return sent, None


class Guest(Person):
    """Named by an application, without an account: evidence comes by its back end."""

    async def step(self):
        if self.lots.random() < 0.6:
            return await self.beats(self.lots.uniform(3, 10), self.lots.choice(("active", "idle")))
        await asyncio.sleep(self.lots.uniform(1, 2 * TIMEOUT_S))

    async def hold(self):
        self.holds = self.truth.possible(now()) < float("inf")
        if self.number % 3:
            return await self.beats(INTERVAL_S, "active")
        await asyncio.sleep(HOLDS_EVERY_S)

    async def beats(self, seconds, activity):
        until = now() + seconds
        while now() < until:
            began = now()
            raw = traffic.request("POST", "/api/presence/touch", self.world.key, {"users": [{"user_id": self.name, "activity": activity}]})
            await self.evidence("touch", None, raw, activity)
            await asyncio.sleep(max(0.1, began + INTERVAL_S - now()))


def kind_of(person, status, may):
    """What to call it that this status was shown."""
    truth = person.truth
    if truth.barred.certain and truth.barred.value:
        return "a suspension does not hold"
    if truth.override.certain and truth.override.value:
        return "an override does not hold"
    if may == {"offline"}:
        return "shown present though they went" if truth.gone else "shown present though silent"
    if status == "offline":
        return "shown offline though they beat"
    return "shown with another activity" if may < PRESENT else "shown otherwise than they are"
