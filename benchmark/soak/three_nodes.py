"""Three servers on one PostgreSQL and one Valkey, each with ways of its own to both."""

import asyncio
import contextlib
import os
import signal

import population
from cluster import Cluster
from network import CUT, OPEN, SILENT, Networks
from world import EVERY_S, LEASE_S, LOSS_S, SETTINGS, TOKEN_S, World


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
