"""A PostgreSQL and a Valkey of our own, in folders that go with them: real servers, on free loopback ports.

Both keep off the processor of the servers that are measured. PostgreSQL keeps its own settings for safety: a commit is on the disk.
"""

import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from server import Failure, generator_cpus, pinned

START_WAIT_S = 60
# On the disk, and open to whoever PostgreSQL runs as: the folder of the sources may be neither.
PARENT = "/var/tmp"
PR_SET_PDEATHSIG = 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ended_with_us(number):
    """For the child, before it becomes the program: it gets this signal when the thread that started it is gone in whatever way."""
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, number)


def started(backend):
    end = time.monotonic() + START_WAIT_S
    while not backend.try_start():
        if time.monotonic() > end:
            raise Failure(f"{backend.name} does not start")
        time.sleep(0.02)


class Postgres:
    name = "PostgreSQL"
    USER = "presently"
    SETTINGS = {"listen_addresses": "127.0.0.1", "max_connections": "150", "shared_buffers": "256MB", "max_wal_size": "2GB"}

    def __init__(self):
        folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]))
        found = [folder for folder in folders if os.path.exists(os.path.join(folder, "initdb"))]
        if not found:
            raise Failure("PostgreSQL is not installed: apt-get install postgresql")
        self.programs = found[-1]
        # It refuses to run as root.
        self.owner = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        self.folder = tempfile.mkdtemp(prefix="presently-bench-postgres-", dir=PARENT)
        self.process, self.port = None, free_port()
        self.databases = 0
        if self.owner:
            os.chown(self.folder, self.owner.pw_uid, self.owner.pw_gid)
        self.call("initdb", "--username", self.USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-instructions",
                  "-D", os.path.join(self.folder, "data"))

    def as_owner(self):
        who = {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []} if self.owner else {}
        return {"cwd": "/", "env": {"PATH": os.environ.get("PATH", ""), "LANG": "C"}, **who}

    def call(self, program, *arguments, text=None):
        done = subprocess.run([os.path.join(self.programs, program), *arguments], input=text, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, timeout=300, **self.as_owner())
        if done.returncode != 0:
            raise Failure(f"{program}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def start(self):
        started(self)

    def try_start(self):
        """Whether it answers by now. Called again and again, and by the main thread, with which it ends."""
        # After it was killed its processes need a moment to notice, and until then there is no new start.
        if self.process is None or self.process.poll() is not None:
            settings = [part for name, value in self.SETTINGS.items() for part in ("-c", f"{name}={value}")]
            with open(os.path.join(self.folder, "log"), "ab") as log:
                self.process = subprocess.Popen(
                    pinned([os.path.join(self.programs, "postgres"), "-D", os.path.join(self.folder, "data"), "-p", str(self.port),
                            "-k", self.folder, *settings], generator_cpus()[0]),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=ended_with_us(signal.SIGQUIT), **self.as_owner())
        try:
            self.call("pg_isready", "-q", "-h", self.folder, "-p", str(self.port), "-t", "1")
            return True
        except Failure:
            return False

    def create(self):
        """The address of a new, empty database."""
        name = f"d{self.databases}"
        self.databases += 1
        self.call("createdb", "-h", self.folder, "-p", str(self.port), "-U", self.USER, name)
        return f"postgres://{self.USER}@127.0.0.1:{self.port}/{name}"

    def rows(self, url, query):
        """The rows of a query, each a list of strings."""
        told = self.call("psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", self.USER,
                         "-d", url.rsplit("/", 1)[1], text=query)
        return [line.split("\t") for line in told.splitlines()]

    def kill(self):
        """As a crash does: nobody is told, nothing is put in order."""
        if self.process:
            self.process.kill()
            self.process.wait(30)

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Valkey:
    """Without a disk: what is killed comes back empty."""

    def __init__(self):
        self.program = shutil.which("valkey-server") or shutil.which("redis-server")
        if not self.program:
            raise Failure("neither Valkey nor Redis is installed: apt-get install redis-server")
        self.folder = tempfile.mkdtemp(prefix="presently-bench-valkey-", dir=PARENT)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = None

    @property
    def name(self):
        return os.path.basename(self.program)

    def start(self):
        started(self)

    def try_start(self):
        """As that of PostgreSQL."""
        if self.process is None or self.process.poll() is not None:
            with open(os.path.join(self.folder, "log"), "ab") as log:
                self.process = subprocess.Popen(
                    pinned([self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
                            self.folder], generator_cpus()[0]),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=ended_with_us(signal.SIGKILL))
        try:
            return self.ask("PING") == "PONG"
        except OSError:
            return False

    def ask(self, *words):
        """One command, whose answer is one line or one string."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)]))
            stream = connection.makefile("rb")
            first = stream.readline().decode().strip()
            if first.startswith("$"):
                return stream.read(int(first[1:])).decode()
            if first.startswith("-"):
                raise Failure(f"{self.name}: {first}")
            return first.lstrip("+:")

    def calls(self):
        """{command: how often it ran so far}, those within scripts included."""
        counted = {}
        for line in self.ask("INFO", "commandstats").splitlines():
            if line.startswith("cmdstat_"):
                name, figures = line[len("cmdstat_"):].split(":", 1)
                counted[name] = int(figures.split(",")[0].split("=")[1])
        return counted

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
