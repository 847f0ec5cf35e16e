"""One server on SQLite, whose database has a small file system of its own where that can be had."""

import asyncio
import contextlib
import os
import shutil
import subprocess

import population
from server import Server
from truth import Times
from world import EVERY_S, LOSS_S, READY_WITHIN_S, SETTINGS, TOKEN_S, World, now

# A store that failed is tried again after at most five seconds.
STORE_RETRY_S = 7
DISK_MIB = 48


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
        # Who is asked to stop while the disk is full can keep no more than who is killed.
        loses = not kindly or self.lost_from(at) < at - LOSS_S
        if loses:
            self.hard = [*self.hard[-9:], at]
        self.possible.begin(self.lost_from(at) if loses else at)
        if not kindly:
            # Who is asked to stop listens until they have.
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
