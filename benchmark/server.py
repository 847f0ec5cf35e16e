"""A server of our own to measure: started in a folder of its own, on a free loopback port, on one processor."""

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time

SECRET = "a-key-of-the-benchmark-which-signs-its-own-tokens"
SCHEMA_WAIT_S = 60


def busy_s():
    """Processor time spent by anybody on the server's processor so far."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = next(line for line in stat if line.startswith(f"cpu{server_cpu()} ")).split()[1:]
    return (sum(map(int, fields[:8])) - int(fields[3]) - int(fields[4])) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(within_s=120):
    """Waits until others leave the server's processor alone; returns the share they took last."""
    end = time.monotonic() + within_s
    while True:
        before = busy_s()
        time.sleep(2)
        share = (busy_s() - before) / 2
        if share < 0.05 or time.monotonic() > end:
            return share


class Failure(Exception):
    """Something did not work; the message is for the reader of the table."""


PROCESSORS = sorted(os.sched_getaffinity(0))
PINNING = True


def processors():
    return PROCESSORS


def pin_this_process():
    os.sched_setaffinity(0, generator_cpus())


def leave_unpinned():
    """Whoever measures nothing lets the system choose the processors."""
    global PINNING
    PINNING = False


def pinned(command, cpu):
    """The command on one processor, where there are at least two."""
    if not PINNING or len(processors()) < 2:
        return command
    return ["taskset", "-c", str(cpu), *command]


def server_cpu():
    return processors()[0]


def generator_cpus():
    return processors()[1:2] or processors()


class Server:
    def __init__(self, program, folder, settings=None):
        self.program = os.path.abspath(program)
        self.folder = folder
        self.settings = settings or {}
        os.makedirs(folder, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.started_in_s = None

    # ---- life

    def environment(self):
        return {
            "PATH": os.environ.get("PATH", ""),
            "PRESENTLY_LISTEN": f"127.0.0.1:{self.port}",
            "PRESENTLY_DATABASE_URL": f"sqlite:{self.database}",
            "PRESENTLY_SECRET_KEY": SECRET,
            **self.settings,
        }

    @property
    def database(self):
        return os.path.join(self.folder, "presently.db")

    def launch(self):
        """Starts it, and does not wait until it answers."""
        with open(os.path.join(self.folder, "server.log"), "ab") as log:
            self.process = subprocess.Popen(
                pinned([self.program, "serve"], server_cpu()), cwd=self.folder, env=self.environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self, within_s=120):
        """Starts it; returns the seconds from exec to the first 200 at /readyz."""
        began = time.monotonic()
        self.launch()
        while time.monotonic() - began < within_s:
            if self.process.poll() is not None:
                raise Failure(f"the server ended with {self.process.returncode}: {self.last_lines()}")
            try:
                status, _ = self.get("/readyz", timeout=2)
                if status == 200:
                    self.started_in_s = time.monotonic() - began
                    return self.started_in_s
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.005)
        self.kill()
        raise Failure(f"the server was not ready within {within_s} s: {self.last_lines()}")

    def stop(self, within_s=60):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(within_s)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Failure(f"the server did not stop within {within_s} s")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def last_lines(self):
        try:
            with open(os.path.join(self.folder, "server.log"), encoding="utf-8", errors="replace") as log:
                return " / ".join(log.read().strip().splitlines()[-3:])
        except OSError:
            return ""

    def run(self, *arguments, text=""):
        """A subcommand of the program on the same database."""
        done = subprocess.run(
            [self.program, *arguments], cwd=self.folder, env=self.environment(), input=text, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
        if done.returncode != 0:
            raise Failure(f"presently {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    # ---- requests

    def connection(self, timeout=30):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def get(self, path, token=None, timeout=30):
        connection = self.connection(timeout)
        try:
            return ask(connection, "GET", path, token)
        finally:
            connection.close()

    # ---- figures

    def metrics(self):
        """{name with its labels: value} of /metrics."""
        _, text = self.get("/metrics")
        values = {}
        for line in text.splitlines():
            match = re.match(r"([a-zA-Z_:][\w:]*(?:\{[^}]*\})?) (\S+)$", line)
            if match:
                values[match[1]] = float(match[2])
        return values

    def metric(self, *names):
        """The first of these names that the server has, its labels added up; None without one."""
        values = self.metrics()
        for name in names:
            found = [value for key, value in values.items() if key == name or key.startswith(name + "{")]
            if found:
                return sum(found)
        return None

    def online(self):
        values = self.metrics()
        found = [v for k, v in values.items() if k in ("presently_online_users", "presently_users_online")]
        if not found:
            found = [v for k, v in values.items() if re.match(r'presently_users\{.*"online".*\}', k)]
        if not found:
            raise Failure("/metrics does not tell how many users are online")
        return int(found[0])

    def lateness(self):
        """[(upper bound in seconds, how many so far)] of the histogram of offline lateness."""
        buckets = []
        for key, value in self.metrics().items():
            match = re.match(r'presently_offline_lateness_seconds_bucket\{.*le="([^"]+)".*\}', key)
            if match:
                buckets.append((float(match[1].replace("+Inf", "inf")), value))
        return sorted(buckets)

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024

    def written_bytes(self):
        with open(f"/proc/{self.process.pid}/io", encoding="ascii") as io:
            return int(re.search(r"^write_bytes: (\d+)", io.read(), re.M)[1])

    def processor_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rows(self, query, *arguments):
        database = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)
        try:
            return database.execute(query, arguments).fetchall()
        finally:
            database.close()


def ask(connection, method, path, token=None, body=None):
    """One request on a kept connection: (status, text)."""
    headers = {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(body)
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
