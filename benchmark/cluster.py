"""Nodes of our own on one PostgreSQL and one Valkey, and a server alone on a database beside them.

The nodes share the first processor, as the one server of the other figures has it; PostgreSQL, Valkey and the load have the second.
"""

import os

import backends
import population
from server import Failure, Server


class Node(Server):
    """A server on PostgreSQL; one of several when it has a Valkey."""

    def __init__(self, program, folder, database_url, settings, valkey_url=None, name=None):
        self.database_url, self.name = database_url, name
        several = {"PRESENTLY_VALKEY_URL": valkey_url, "PRESENTLY_NODE_NAME": name} if valkey_url else {}
        super().__init__(program, folder, {"PRESENTLY_DATABASE_URL": database_url, **several, **settings})


class Cluster:
    def __init__(self, program, folder, settings):
        self.program, self.folder, self.settings = program, folder, settings
        self.postgres = self.valkey = self.database_url = self.admin = self.key = None
        self.nodes, self.others = [], []

    def open(self, users, nodes=3):
        """Starts the backends, makes the accounts, and starts the nodes. Returns the ids of the users."""
        self.postgres, self.valkey = backends.Postgres(), backends.Valkey()
        self.postgres.start()
        self.valkey.start()
        self.database_url = self.postgres.create()
        # The first one makes the schema, and the first admin.
        first = self.add_node()
        first.start()
        self.admin = population.token(int(self.rows("SELECT id FROM users WHERE is_staff OR role = 'admin' ORDER BY id LIMIT 1")[0][0]))
        ids = self.add_users(first, users)
        self.key = next((word for word in first.run("key", "create", "bench").split() if len(word) > 30), None)
        if not self.key:
            raise Failure("the program told no API key")
        while len(self.nodes) < nodes:
            self.add_node().start()
        return ids

    def add_node(self):
        name = "abcdefgh"[len(self.nodes)]
        folder = os.path.join(self.folder, name)
        self.nodes.append(Node(self.program, folder, self.database_url, self.settings, self.valkey.url, name))
        return self.nodes[-1]

    def alone(self, users):
        """A server that is no node, with as many users of its own: (server, ids)."""
        url = self.postgres.create()
        server = Node(self.program, os.path.join(self.folder, "alone"), url, self.settings)
        self.others.append(server)
        server.start()
        return server, self.add_users(server, users)

    def add_users(self, server, count):
        """As `population.add_users` does in a file, while the server runs."""
        server.run("user", "create", population.MODEL, "--email", f"{population.MODEL}@example.org", "--role", "user", "--password-stdin",
                   text=population.PASSWORD + "\n")
        rows = self.postgres.rows
        url = server.database_url
        columns = [row[0] for row in rows(url, "SELECT column_name FROM information_schema.columns WHERE table_name = 'users' "
                                               "AND table_schema = current_schema() ORDER BY ordinal_position")]
        text = {row[0] for row in rows(url, "SELECT column_name FROM information_schema.columns WHERE table_name = 'users' "
                                            "AND data_type = 'text'")}
        first = int(rows(url, "SELECT max(id) + 1 FROM users")[0][0])
        value = {column: f"replace({column}, '{population.MODEL}', 'u' || n)" if column in text else column for column in columns}
        value["id"] = f"{first - 1} + n"
        rows(url, f"""
            BEGIN;
            ALTER TABLE users DISABLE TRIGGER USER;
            INSERT INTO users ({', '.join(columns)}) SELECT {', '.join(value[column] for column in columns)}
                FROM users, generate_series(1, {count}) AS n WHERE username = '{population.MODEL}';
            ALTER TABLE users ENABLE TRIGGER USER;
            COMMIT;
            ANALYZE users;
        """)
        return range(first, first + count)

    def rows(self, query):
        return self.postgres.rows(self.database_url, query)

    def close(self):
        for server in (*self.nodes, *self.others):
            server.kill()
        for backend in (self.valkey, self.postgres):
            if backend:
                backend.remove()
