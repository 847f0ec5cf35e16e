"""Holds the files of this folder to the program: names of figures, flags and variables, and what nginx and promtool say.

usage: check.py PROGRAM. Starts a PostgreSQL, a Valkey and one node of its own, in a temporary folder, and ends them.
"""

import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
STARTS_WITHIN_S = 30
failed = 0


def check(what, holds, detail=""):
    global failed
    failed += not holds
    print(("ok      " if holds else "FAILED  ") + what + (f"\n{detail}" if detail and not holds else ""), flush=True)


def text(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
    return done.returncode, done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def postgres(name):
    found = shutil.which(name) or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None,
                                      key=lambda path: int(path.split("/")[4]))
    if not found:
        raise SystemExit(f"{name} is not installed")
    return found


def figures(program, folder):
    """What a node with all it needs exports at /metrics."""
    # PostgreSQL does not run as root.
    other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    data = os.path.join(folder, "data")
    if other:
        shutil.chown(folder, "postgres")
    code, told = run(*other, postgres("initdb"), "-U", "presently", "-A", "trust", "--no-sync", "-D", data)
    if code:
        raise SystemExit(told)
    ports = [free_port() for _ in range(3)]
    commands = [
        [*other, postgres("postgres"), "-D", data, "-p", str(ports[0]), "-k", folder, "-c", "listen_addresses=127.0.0.1"],
        [shutil.which("valkey-server") or "redis-server", "--port", str(ports[1]), "--bind", "127.0.0.1", "--save", "",
         "--appendonly", "no"],
        [program, "serve", "--listen", f"127.0.0.1:{ports[2]}", "--node-name", "a",
         "--database-url", f"postgres://presently@127.0.0.1:{ports[0]}/postgres?sslmode=disable",
         "--valkey-url", f"redis://127.0.0.1:{ports[1]}"],
    ]
    servers, until = [], time.monotonic() + STARTS_WITHIN_S
    try:
        for place, command in enumerate(commands):
            log = os.path.join(folder, f"log{place}")
            with open(log, "w", encoding="utf-8") as out:
                servers.append(subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd="/"))
            while time.monotonic() < until and servers[-1].poll() is None:
                try:
                    if place < 2:
                        socket.create_connection(("127.0.0.1", ports[place]), 1).close()
                    else:
                        urllib.request.urlopen(f"http://127.0.0.1:{ports[2]}/readyz", timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.1)
            else:
                with open(log, encoding="utf-8", errors="replace") as told:
                    raise SystemExit(f"{command} did not start:\n{told.read()[-2000:]}")
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[2]}/metrics", timeout=5) as answer:
            return set(re.findall(r"^(presently_\w+)", answer.read().decode(), re.M))
    finally:
        for server in reversed(servers):
            server.terminate()
        for server in servers:
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def names(expressions):
    return {name for one in expressions for name in re.findall(r"\bpresently_\w+", one)}


def main():
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="presently-operations-", ignore_cleanup_errors=True) as folder:
        exported = figures(program, folder)
    check("a node exports figures", len(exported) > 20, str(exported))
    dashboard = json.loads(text("grafana-dashboard.json"))
    panels = names(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    alerts = names(re.findall(r"^        expr: (.*(?:\n {10,}.*)*)", text("alerts.yml"), re.M))
    page = names(re.findall(r"^\| (`.*?) \|", open(os.path.join(HERE, "../../docs/operations.md"), encoding="utf-8").read(), re.M))
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
    for what, used, known in (("the dashboard", panels, exported), ("alerts.yml", alerts, exported), ("the table of operations.md", page, bases)):
        check(f"{what}: {len(used)} figures, all exported", used and used <= known, str(sorted(used - known)))
    rules = re.findall(r"- alert: (\w+)", text("alerts.yml"))
    tested = set(re.findall(r"alertname: (\w+)\n +exp_alerts", text("alerts_test.yml")))
    check(f"{len(rules)} alerts, each seen to fire by a test", rules and set(rules) == tested, str(set(rules) ^ tested))

    code, told = run(program, "serve", "--help")
    offered = set(re.findall(r"PRESENTLY_\w+|--[a-z][a-z-]+", told))
    for name in ("compose.yaml", "presently@.service", "presently.env", "Dockerfile"):
        used = set(re.findall(r"^[^#]*?\b(PRESENTLY_\w+)[:=]", text(name), re.M)) | set(re.findall(r"PRESENTLY_\w+(?=: )", text(name)))
        check(f"{name}: {len(used)} variables, all offered by serve --help", used and used <= offered, str(used - offered))
    conf = text("nginx.conf")
    services = set(re.findall(r"^  ([a-z-]+):$", text("compose.yaml").split("\nservices:")[1].split("\nnetworks:")[0], re.M))
    hosts = set(re.findall(r"server (node-\w+):8000", conf))
    scraped = set(re.findall(r'"(node-\w+):8000"', text("prometheus.yml")))
    nodes = {service for service in services if service.startswith("node-")}
    check("compose.yaml, nginx.conf and prometheus.yml name the same nodes", len(nodes) == 3 and nodes == hosts == scraped, f"{nodes} {hosts} {scraped}")
    try:
        import yaml
        parsed = yaml.safe_load(text("compose.yaml"))
        check("compose.yaml parses", set(parsed["services"]) == services, str(services))
    except ImportError:
        print("skipped: compose.yaml is not parsed without PyYAML")

    with tempfile.TemporaryDirectory(prefix="presently-nginx-") as folder:
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(re.sub(r"node-\w+:8000", "127.0.0.1:8000", conf).replace("listen 80 ", f"listen 127.0.0.1:{free_port()} "))
        code, told = run(shutil.which("nginx") or "/usr/sbin/nginx", "-t", "-c", path, "-g", f"pid {folder}/pid; error_log stderr;")
        check("nginx takes nginx.conf", code == 0, told)
    if shutil.which("promtool"):
        for command in (("check", "config"), ("test", "rules")):
            code, told = run("promtool", *command, os.path.join(HERE, "prometheus.yml" if command[0] == "check" else "alerts_test.yml"))
            check("promtool " + " ".join(command), code == 0, told)
    else:
        print("skipped: promtool is not installed (Debian: prometheus)")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
