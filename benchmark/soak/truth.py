"""What is true of each user, as far as an outsider can know: what was acknowledged, and when the server can have heard of them.

All times are this process's monotonic clock. Whatever was not answered may have been done or not, at any time until it is `over`;
nothing is held against the server that one of the possible courses of things explains.
"""

import collections

STATUSES = frozenset({"online", "away", "offline"})
PRESENT = frozenset({"online", "away"})
OFFLINE = frozenset({"offline"})
# A heartbeat at a second's end and one at the next one's start differ by less than what the clocks of two processes are read apart.
CLOCKS_S = 0.1
INFINITE = float("inf")


class Times:
    """Spans of time, the last of which may be open."""

    def __init__(self):
        self.spans = []

    def begin(self, at):
        self.spans.append([at, INFINITE])

    def end(self, at):
        for span in self.spans:
            span[1] = min(span[1], at)

    def within(self, a, b):
        """How much of [a, b] they cover; where they overlap, once."""
        covered, upto = 0.0, a
        for begun, ended in sorted(self.spans):
            begun, ended = max(begun, upto), min(ended, b)
            if ended > begun:
                covered, upto = covered + ended - begun, ended
        return covered

    def forget(self, before):
        self.spans = [span for span in self.spans if span[1] > before]


class Evidence:
    def __init__(self, what, login, sent, done, last_seen, durable):
        self.what, self.login, self.sent, self.done, self.last_seen, self.durable = what, login, sent, done, last_seen, durable


class Register:
    """What acknowledged acts say of one thing: the values it may have."""

    def __init__(self, value):
        self.values, self.changed, self.before, self.open = {value}, -INFINITE, {value}, []

    def asked(self, value):
        self.before = set(self.values)
        self.values.add(value)

    def refused(self):
        """Nothing was changed, by the answer's own word."""
        self.values = set(self.before)

    def unanswered(self, value, sent, node):
        self.open.append((value, sent, node))

    def acknowledged(self, value, done, world):
        # What was not answered may still be done, after this.
        self.open = [(other, sent, node) for other, sent, node in self.open if world.over(node, sent, done) is None]
        self.values = {value, *(other for other, _, _ in self.open)}
        self.changed = done

    def at(self, moment, lag):
        """What may be shown at this moment."""
        return self.values if moment >= self.changed + lag else self.values | self.before

    @property
    def certain(self):
        return len(self.values) == 1

    @property
    def value(self):
        return next(iter(self.values))


class Truth:
    def __init__(self, world):
        self.world = world
        self.evidence, self.pending = [], []
        self.sending = None
        self.latest, self.gone = -INFINITE, -INFINITE
        # The activity that must show, or None where two sessions have their say.
        self.activity, self.spoken = None, -INFINITE
        self.override, self.barred, self.invisible = Register(None), Register(False), Register(False)
        self.override_ends = None

    # ---- what happened

    def send(self, now):
        """Evidence leaves."""
        self.sending, self.gone, self.activity = now, None, None

    def heard(self, what, login, sent, done, activity, last_seen=None, durable=False):
        self.sending = None
        self.latest = max(self.latest, done)
        if self.world.stepped.within(sent - 2, done):
            last_seen = False
        for before in self.evidence:
            # What an administrator set holds until the next evidence, and is no more than that then.
            before.durable = before.durable and before.login is not None
        self.evidence = [*self.evidence[-9:], Evidence(what, login, sent, done, last_seen, durable)]
        self.activity, self.spoken = activity, done

    def unanswered(self, sent, node):
        self.sending = None
        self.pending.append((sent, node))
        self.activity = None
        if self.world.stepped.within(sent - 2, INFINITE):
            # It may have been heard by a wrong clock.
            self.evidence = [*self.evidence[-9:], Evidence("no answer", None, sent, INFINITE, False, False)]

    def refused(self):
        """The server said no: that was no evidence."""
        self.sending = None

    def ending(self, login=None):
        """An act leaves that ends this login, or all; what an administrator set ends with either."""
        self.evidence = [heard for heard in self.evidence if login is not None and heard.login not in (login, None)]
        self.activity = None

    def ended(self, done):
        """It was acknowledged, and nothing is left."""
        self.gone = done

    # ---- what follows from it

    def possible(self, now):
        """The latest moment at which the server may have heard of the user."""
        if self.sending is not None:
            return INFINITE
        still = []
        for sent, node in self.pending:
            over = self.world.over(node, sent, now)
            if over is None:
                still.append((sent, node))
            else:
                self.latest = max(self.latest, over)
        self.pending = still
        return INFINITE if still else self.latest

    def kept(self, now):
        """Acknowledged evidence that no kill can have lost."""
        return [heard for heard in self.evidence if heard.durable or not self.world.lost(heard.sent, heard.done, now)]

    def surely_present(self, a, b, lag):
        """Whether the sessions say `present` during all of [a, b]."""
        timeout = self.world.timeout - CLOCKS_S
        return any(heard.done + lag <= a and self.world.silence_at_most(heard.sent, b) < timeout for heard in self.kept(b))

    def surely_absent(self, a, lag):
        latest = self.possible(a)
        if self.gone is not None and not self.pending and self.sending is None and self.gone + lag <= a:
            return True
        return latest < a and self.world.silence_at_least(latest, a) > self.world.timeout + self.world.bound

    def merged(self, a, b, lag):
        if self.surely_present(a, b, lag):
            if self.activity and self.spoken + lag <= a:
                return {"online" if self.activity == "active" else "away"}
            return PRESENT
        return OFFLINE if self.surely_absent(a, lag) else STATUSES

    def overrides(self, a, b, lag):
        values = set(self.override.at(a, lag))
        if self.override_ends:
            status, sent, done, length = self.override_ends
            if b > sent + length - CLOCKS_S or self.world.stepped.within(sent, b):
                values.add(None)
            if self.world.silence_at_least(done, a) > length + self.world.bound and not self.world.stepped.within(sent, b):
                values.discard(status)
        return values

    def shown(self, a, b, lag, to_admin=True):
        """What an answer that was made within [a, b] may say."""
        may = set()
        for barred in self.barred.at(a, lag):
            if barred:
                may |= OFFLINE
                continue
            for status in self.overrides(a, b, lag):
                may |= {status} if status else self.merged(a, b, lag)
        if not to_admin:
            invisible = self.invisible.at(a, lag)
            may = (may if False in invisible else set()) | (OFFLINE if True in invisible else set())
        return may

    def may_be_decided_offline(self, at, upto):
        """Whether `offline` can have been decided within [at, upto]."""
        if True in self.barred.at(at, 0) | self.barred.values:
            return True
        if self.override.values | self.override.before != {None}:
            return True
        return not self.surely_present(at, upto, 0)

    def may_be_decided_present(self, at, lag):
        if self.override.values | self.override.before != {None}:
            return True
        if self.barred.certain and self.barred.value and self.barred.changed + lag < at:
            return False
        return not (self.gone is not None and not self.pending and self.gone + lag < at)

    def last_seen(self, a, lag):
        """The oldest `last_seen` that may be told, or None when nothing can be said."""
        if not self.world.clocks_are_true or any(heard.last_seen is False for heard in self.evidence):
            # A clock is wrong, or was when something was heard: `last_seen` may have gone back.
            return None
        known = [heard for heard in self.evidence if heard.done + lag <= a]
        return max((heard.last_seen for heard in known
                    if heard.last_seen and (heard.durable or not self.world.lost(heard.sent, heard.done, a, last_seen=True))), default=None)


class Violations:
    """What should not have been: kind, whom, when, and beside which faults."""

    SHOWN_MAX = 5

    def __init__(self, world):
        self.world = world
        self.counted = collections.Counter()
        self.examples = collections.defaultdict(list)

    def add(self, kind, whom, what):
        self.counted[kind] += 1
        examples = self.examples[kind]
        if len(examples) < self.SHOWN_MAX:
            examples.append(f"round {self.world.round}, {self.world.moment()}, {whom}: {what} [{self.world.told()}]")
            print(f"   !! {kind}: {examples[-1]}", flush=True)
