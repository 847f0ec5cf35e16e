"""What is common to the servers of a soak: their life, the faults of any of them, and what judges ask of both."""

import asyncio
import collections
import contextlib
import datetime
import glob
import os
import signal
import subprocess
import time

import traffic
from truth import Times

INTERVAL_S, TIMEOUT_S, LEASE_S, GRACE_S = 2, 6, 3, 5
SETTINGS = {
    "PRESENTLY_HEARTBEAT_INTERVAL": f"{INTERVAL_S}s", "PRESENTLY_INACTIVITY_TIMEOUT": f"{TIMEOUT_S}s",
    "PRESENTLY_NODE_LEASE": f"{LEASE_S}s", "PRESENTLY_RECONNECT_GRACE": f"{GRACE_S}s",
    # No token ends by itself, whatever the clock does.
    "PRESENTLY_ACCESS_TOKEN_LIFETIME": "20d", "PRESENTLY_REFRESH_TOKEN_LIFETIME": "21d",
    "PRESENTLY_LOG_FORMAT": "text",
}
TOKEN_S = 20 * 86_400
# What a kill may lose, as docs/benchmarks.md has it.
LOSS_S = 2
# An answer to what was given up may still be worked on.
OVER_S = 6
EVERY_S = 0.1
# Beyond this this process did not run, and the servers may not have either.
STALL_S = 0.3
READY_WITHIN_S = 30


def now():
    return time.monotonic()


def moment(text):
    """Seconds since 1970 of a time on the wire."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class World:
    name, bound, lag = "", 1.5, 0.0
    # Evidence is kept in whole milliseconds.
    last_seen_older_s = 0.01

    def __init__(self, program, folder, lots, say):
        self.program, self.folder, self.lots, self.say = program, folder, lots, say
        self.timeout = TIMEOUT_S
        self.nodes, self.pools = [], []
        self.round, self.began, self.active, self.drawn = 0, now(), {}, []
        self.calm_since, self.stepped, self.possible = None, Times(), Times()
        self.tasks, self.faults, self.violations, self.stalled_s, self.skipped = [], 0, None, 0.0, []
        self.slowest_start_s, self.only = 0.0, ""
        self.clock_library = clock_library(folder)
        if not self.clock_library:
            self.skipped.append("clock steps: libfaketime is not installed, or does not work here")

    # ---- what the judges ask

    def moment(self):
        return f"{now() - self.began:.1f} s"

    def told(self):
        """What went wrong in this round, for whoever reads of a violation."""
        return ", ".join(self.drawn) or "no fault"

    def over(self, number, sent, at):
        """When what was sent to this node and not answered was surely over; None while it may still be done."""
        node = self.nodes[number]
        for killed in node.kills:
            if killed >= sent:
                return killed
        if node.faults:
            return None
        over = max(sent + OVER_S, node.mended + OVER_S / 2)
        return over if over <= at else None

    def is_calm(self, upto=None):
        return self.calm_since is not None

    @property
    def clocks_are_true(self):
        return self.stepped.within(now() - 2, now()) == 0

    # ---- life

    def clocked(self, node):
        """The settings with which this node's wall clock can be stepped."""
        node.clock_file = os.path.join(self.folder, f"clock-{len(self.nodes)}")
        step(node, 0)
        if not self.clock_library:
            return {}
        return {
            "LD_PRELOAD": self.clock_library, "FAKETIME_TIMESTAMP_FILE": node.clock_file, "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
        }

    def adopt(self, node):
        node.faults, node.kills, node.mended, node.wanted, node.failed = 0, [], 0.0, True, 0.0
        self.nodes.append(node)
        self.pools.append(traffic.Pool(node, 2.5))

    async def begin(self):
        self.tasks = [asyncio.ensure_future(task) for task in (self.look(), self.stalls(), *map(self.supervise, self.nodes))]

    async def end(self):
        for task in self.tasks:
            task.cancel()

    async def stalls(self):
        last = now()
        while True:
            await asyncio.sleep(0.05)
            at = now()
            if at - last > STALL_S:
                self.possible.spans.append([last, at])
                self.stalled_s += at - last
            last = at

    async def ready(self):
        """The status of each node's /readyz; 0 is none."""
        raw = traffic.request("GET", "/readyz")
        return [answer.status for answer in await asyncio.gather(*(pool.ask(raw, 2) for pool in self.pools))]

    async def look(self):
        """Keeps `calm_since`: since when nothing is wrong and everybody is ready."""
        unready = 0
        while True:
            await asyncio.sleep(EVERY_S)
            if self.active:
                self.calm_since = None
                continue
            ready = all(status == 200 for status in await self.ready())
            if self.active:
                continue
            if self.calm_since is None and ready:
                self.calm_since = now()
            unready = 0 if ready or self.calm_since is None else unready + 1
            if unready == 20:
                self.violations.add("not ready though nothing is wrong", "nodes", str(await self.ready()))

    async def supervise(self, node):
        """Starts again what ended by itself, as systemd does."""
        while True:
            await asyncio.sleep(EVERY_S)
            if node.wanted and node.process.poll() is not None:
                if not self.may_end(node):
                    self.violations.add("a server ended by itself", f"node {self.nodes.index(node)}",
                                        f"{node.process.returncode}: {node.last_lines()}")
                node.kills.append(now())
                await asyncio.sleep(0.5)
                if node.wanted:
                    node.launch()

    def may_end(self, node):
        return False

    # ---- faults

    def draw(self):
        """The faults of a round: [(begins after, name, target, how long, the fault)]."""
        faults, busy, at = [], {}, 0.5
        for _ in range(self.lots.choice((1, 1, 2, 2, 3))):
            name, target, fault, longest = self.lots.choice([kind for kind in self.kinds() if self.only in kind[0]])
            length = self.lots.uniform(1.5, longest)
            at = max(at, busy.get(target, 0) + 0.5)
            faults.append((at, name, target, length, fault))
            busy[target] = at + length + 2
            at += self.lots.uniform(0, 5)
        return faults

    async def wrong(self, faults):
        """Has them happen, and returns when all are mended."""
        began = now()

        # A target that is still being mended is left alone so long.
        turns = collections.defaultdict(asyncio.Lock)

        async def one(after, target, length, fault):
            await asyncio.sleep(max(0.0, began + after - now()))
            async with turns[target]:
                self.faults += 1
                await fault(length)

        self.drawn = [f"{name} for {length:.1f} s after {after:.1f} s" for after, name, _, length, _ in faults]
        self.say(f"round {self.round}: {self.told()}")
        await asyncio.gather(*(one(after, target, length, fault) for after, _, target, length, fault in faults))

    @contextlib.asynccontextmanager
    async def fault(self, label, nodes):
        self.active[label] = now()
        self.calm_since = None
        for node in nodes:
            node.faults += 1
        try:
            yield
        finally:
            del self.active[label]
            for node in nodes:
                node.faults -= 1
                node.mended = now()

    async def is_ready(self, node):
        """Waits until it is, for a while."""
        pool, end = self.pools[self.nodes.index(node)], now() + READY_WITHIN_S
        while now() < end:
            if (await pool.ask(traffic.request("GET", "/readyz"), 2)).status == 200:
                return True
            await asyncio.sleep(EVERY_S)
        return False

    async def kill(self, node, length, number):
        async with self.fault(f"kill {number}", [node]):
            node.wanted = False
            self.dies(node)
            node.process.kill()
            node.process.wait(10)
            node.kills.append(now())
            await asyncio.sleep(length)
            await self.rises(node)

    async def stop(self, node, length, number):
        async with self.fault(f"stop {number}", [node]):
            node.wanted = False
            self.dies(node, kindly=True)
            node.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(asyncio.to_thread(node.process.wait), 20)
            except TimeoutError:
                self.violations.add("SIGTERM is not obeyed", f"node {number}", "within 20 s")
                node.process.kill()
            node.kills.append(now())
            await asyncio.sleep(length)
            await self.rises(node)

    async def pause(self, node, length, number):
        async with self.fault(f"pause {number}", [node]):
            self.sleeps(node)
            node.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(length)
            node.process.send_signal(signal.SIGCONT)
            self.wakes(node)

    async def clock(self, node, length, number):
        seconds = self.lots.choice((-20, -5, 5, 20, 20, 3_600))
        async with self.fault(f"clock {number}", [node]):
            self.stepped.begin(now() - 0.5)
            step(node, seconds)
            await asyncio.sleep(length)
            step(node, 0)
            self.stepped.end(now() + 0.5)

    def dies(self, node, kindly=False):
        pass

    async def rises(self, node):
        node.launch()
        node.wanted, began = True, now()
        if not self.active_but(node) and not await self.is_ready(node):
            self.violations.add("not ready after a start", f"node {self.nodes.index(node)}", f"within {READY_WITHIN_S} s: {node.last_lines()}")
        else:
            self.slowest_start_s = max(self.slowest_start_s, now() - began)

    def active_but(self, node):
        """Whether anything else is wrong than this node's end."""
        return len(self.active) > 1

    def sleeps(self, node):
        pass

    def wakes(self, node):
        pass


def step(node, seconds):
    """The wall clock of this node stands so far off."""
    with open(node.clock_file + ".new", "w", encoding="ascii") as file:
        file.write(f"{seconds:+d}s\n")
    os.replace(node.clock_file + ".new", node.clock_file)


def clock_library(folder):
    """Debian's libfaketime, where it does what is wanted of it."""
    for path in glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"):
        probe = os.path.join(folder, "clock-probe")
        with open(probe, "w", encoding="ascii") as file:
            file.write("+3600s\n")
        told = subprocess.run(
            ["python3", "-c", "import time; print(time.time(), time.monotonic())"], stdout=subprocess.PIPE, text=True, check=False,
            env={"LD_PRELOAD": path, "FAKETIME_TIMESTAMP_FILE": probe, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
                 "PATH": os.environ["PATH"]}).stdout.split()
        if len(told) == 2 and abs(float(told[0]) - time.time() - 3_600) < 60 and abs(float(told[1]) - now()) < 60:
            return path
    return None
