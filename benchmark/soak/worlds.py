"""The servers of a soak, what goes wrong with them, and what follows from that for whoever judges them."""

import asyncio
import collections
import contextlib
import datetime
import glob
import os
import shutil
import signal
import subprocess
import time

import backends
import population
import traffic
from cluster import Cluster
from network import CUT, OPEN, SILENT, Networks
from server import Failure, Server
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
# A store that failed is tried again after at most five seconds.
STORE_RETRY_S = 7
# An answer to what was given up may still be worked on.
OVER_S = 6
EVERY_S = 0.1
# Beyond this this process did not run, and the servers may not have either.
STALL_S = 0.3
DISK_MIB = 48
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


# ------------------------------------------------------------------------------------------------------------- one node

class Alone(Server):
    """Its database may have a file system of its own."""

    @property
    def database(self):
        return os.path.join(self.folder, "disk", "presently.db")


class OneNode(World):
    """One server on SQLite. It listens or it does not, and silence counts only while it does."""

    name = "one node"

    def open(self, count):
        node = Alone(self.program, self.folder)
        node.settings = {**SETTINGS, **self.clocked(node)}
        self.disk = os.path.dirname(node.database)
        os.makedirs(self.disk)
        self.mounted = os.getuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", self.disk], check=False, stderr=subprocess.DEVNULL).returncode == 0
        if not self.mounted:
            self.skipped.append("full disk: only root can mount a small file system")
        population.settle(node)
        ids = population.add_users(node, count)
        self.admin = population.token(int(population.admin_id(node)), TOKEN_S)
        self.key = next(word for word in node.run("key", "create", "soak").split() if len(word) > 30)
        self.sure, self.full = Times(), Times()
        self.adopt(node)
        node.start()
        return ids

    def close(self):
        for node in self.nodes:
            node.wanted = False
            node.kill()
        if self.mounted:
            subprocess.run(["umount", self.disk], check=False)
        shutil.rmtree(self.disk, ignore_errors=True)

    def kinds(self):
        node = self.nodes[0]
        kinds = [
            ("kill -9", "process", lambda length: self.kill(node, length, 0), 4),
            ("kill -9", "process", lambda length: self.kill(node, length, 0), 8),
            ("SIGTERM", "process", lambda length: self.stop(node, length, 0), 4),
            ("SIGSTOP", "process", lambda length: self.pause(node, length, 0), 10),
        ]
        if self.mounted:
            kinds += 2 * [("full disk", "disk", self.fill, 9)]
        if self.clock_library:
            kinds += 2 * [("clock step", "clock", lambda length: self.clock(node, length, 0), 9)]
        return kinds

    def presences(self):
        """{user: status} of the table."""
        return dict(self.nodes[0].rows("SELECT user_id, online_status FROM presence"))

    # ---- silence

    def silence_at_most(self, a, b):
        return b - a - self.sure.within(a, b)

    def silence_at_least(self, a, b):
        return b - a - self.possible.within(a, b)

    def lost_from(self, killed):
        """The moment from which a kill may have lost evidence: earlier than ever while nothing can be kept."""
        for begun, ended in self.full.spans:
            if begun <= killed and ended + STORE_RETRY_S > killed:
                return begun - LOSS_S
        return killed - LOSS_S

    def lost(self, sent, done, upto, last_seen=False):
        return any(sent <= killed <= upto and done > self.lost_from(killed) for killed in self.hard)

    hard = ()

    def dies(self, node, kindly=False):
        at = now()
        if not kindly:
            self.hard = [*self.hard[-9:], at]
        self.possible.begin(at if kindly else self.lost_from(at))
        if not kindly:
            self.sure.begin(at)

    async def rises(self, node):
        self.release()
        self.sure.end(now())
        await super().rises(node)
        self.possible.end(now())

    def active_but(self, node):
        # A wrong clock keeps nobody from starting, and the disk was given back.
        return False

    def sleeps(self, node):
        self.possible.begin(now() - 0.1)
        self.sure.begin(now())

    def wakes(self, node):
        self.sure.end(now())
        self.possible.end(now() + 0.2)

    # ---- the disk

    async def fill(self, length):
        async with self.fault("full disk", self.nodes):
            self.full.begin(now())
            ballast, until = os.path.join(self.disk, "ballast"), now() + length
            self.filling = True
            while now() < until and self.filling:
                # Whatever is given back is taken again.
                with contextlib.suppress(OSError), open(ballast, "ab", buffering=0) as file:
                    while file.write(bytes(65_536)) == 65_536:
                        pass
                await asyncio.sleep(EVERY_S)
            self.release()
            if self.nodes[0].wanted and not await self.is_ready(self.nodes[0]):
                self.violations.add("not ready after a full disk", "node 0", f"within {READY_WITHIN_S} s")

    filling = False

    def release(self):
        self.filling = False
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(self.disk, "ballast"))
        self.full.end(now())


# --------------------------------------------------------------------------------------------------------- three nodes

class Cut(Cluster):
    """Each node has ways of its own to PostgreSQL and to Valkey."""

    def __init__(self, world, *arguments):
        super().__init__(*arguments)
        self.world, self.ways = world, []

    def add_node(self):
        if not self.ways:
            self.networks = Networks()
        ways = {"PostgreSQL": self.networks.to(self.postgres.port), "Valkey": self.networks.to(self.valkey.port)}
        self.ways.append(ways)
        node = super().add_node()
        node.database_url = self.database_url.replace(f":{self.postgres.port}/", f":{ways['PostgreSQL'].port}/")
        node.settings = {
            **node.settings, "PRESENTLY_DATABASE_URL": node.database_url,
            "PRESENTLY_VALKEY_URL": f"redis://127.0.0.1:{ways['Valkey'].port}", **self.world.clocked(node)}
        self.world.adopt(node)
        return node


class ThreeNodes(World):
    """Three servers on one PostgreSQL and one Valkey. While anything is wrong nobody need be ended by silence."""

    name, bound, lag = "three nodes", LEASE_S + 2.0, 2.5
    # What a node heard last before a fault may not have reached the others.
    last_seen_older_s = LOSS_S + 0.5

    def open(self, count):
        self.cluster = Cut(self, self.program, self.folder, SETTINGS)
        ids = self.cluster.open(count)
        admin = self.cluster.rows("SELECT id FROM users WHERE is_staff OR role = 'admin' ORDER BY id LIMIT 1")[0][0]
        self.admin, self.key = population.token(int(admin), TOKEN_S), self.cluster.key
        self.away = set()
        return ids

    def close(self):
        for node in self.nodes:
            node.wanted = False
        self.cluster.close()
        if self.cluster.ways:
            self.cluster.networks.close()

    def kinds(self):
        number = self.lots.randrange(len(self.nodes))
        node, ways = self.nodes[number], self.cluster.ways[number]
        kinds = [
            (f"kill -9 of node {number}", f"node {number}", lambda length: self.kill(node, length, number), 8),
            (f"SIGTERM of node {number}", f"node {number}", lambda length: self.stop(node, length, number), 5),
            (f"SIGSTOP of node {number}", f"node {number}", lambda length: self.pause(node, length, number), 10),
            ("Valkey restarted", "Valkey", self.valkey_restarted, 6),
            ("Valkey killed, back empty", "Valkey", self.valkey_killed, 8),
            ("Valkey emptied", "Valkey", self.valkey_emptied, 2),
            ("PostgreSQL restarted", "PostgreSQL", lambda length: self.postgres_restarted(length, kindly=True), 4),
            ("PostgreSQL killed", "PostgreSQL", lambda length: self.postgres_restarted(length, kindly=False), 8),
        ]
        for name, way in ways.items():
            for state in (CUT, SILENT):
                kinds.append((f"node {number} and {name}: {state}", f"way {number} {name}",
                              lambda length, name=name, way=way, state=state: self.parted(number, name, way, state, length), 10))
        if self.clock_library:
            kinds.append((f"clock step of node {number}", f"clock {number}", lambda length: self.clock(node, length, number), 9))
        return kinds

    def presences(self):
        return {user: status for user, status in self.cluster.rows("SELECT user_id, online_status FROM presence")}

    def silence_at_most(self, a, b):
        return b - a

    def silence_at_least(self, a, b):
        if self.calm_since is None or self.calm_since > b:
            return 0.0
        return b - max(a, self.calm_since) - self.possible.within(max(a, self.calm_since), b)

    def lost(self, sent, done, upto, last_seen=False):
        """Others have the sessions of a killed node; only what it heard last is not everywhere yet."""
        return last_seen and any(sent <= killed <= upto and done > killed - LOSS_S for node in self.nodes for killed in node.kills)

    def may_end(self, node):
        # Without PostgreSQL there is no start.
        return bool(self.away) or bool(node.faults)

    # ---- faults

    async def parted(self, number, name, way, state, length):
        node = self.nodes[number]
        async with self.fault(f"{name} {number}", [node]):
            self.away.add((name, number))
            way.become(state)
            await asyncio.sleep(length)
            way.become(OPEN)
            await asyncio.sleep(0.5)
            self.away.discard((name, number))

    async def back(self, backend):
        while not await asyncio.to_thread(backend.try_start):
            await asyncio.sleep(EVERY_S)

    async def valkey_killed(self, length):
        async with self.fault("Valkey", self.nodes):
            self.cluster.valkey.kill()
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.cluster.valkey.folder, "dump.rdb"))
            await asyncio.sleep(length)
            await self.back(self.cluster.valkey)

    async def valkey_restarted(self, length):
        async with self.fault("Valkey", self.nodes):
            # What it says is on its disk when it goes.
            await asyncio.to_thread(self.cluster.valkey.ask, "SAVE")
            self.cluster.valkey.kill()
            await asyncio.sleep(length)
            await self.back(self.cluster.valkey)

    async def valkey_emptied(self, length):
        async with self.fault("Valkey", self.nodes):
            await asyncio.to_thread(self.cluster.valkey.ask, "FLUSHALL")
            await asyncio.sleep(length)

    async def postgres_restarted(self, length, kindly):
        async with self.fault("PostgreSQL", self.nodes):
            self.away.add("PostgreSQL")
            postgres = self.cluster.postgres
            if kindly:
                postgres.process.send_signal(signal.SIGINT)
                await asyncio.to_thread(postgres.process.wait, 30)
            else:
                postgres.kill()
            await asyncio.sleep(length)
            await self.back(postgres)
            await asyncio.sleep(1)
            self.away.discard("PostgreSQL")


__all__ = ["OneNode", "ThreeNodes", "Failure", "backends"]
