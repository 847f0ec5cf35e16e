"""Measures what Presently promises. `./bench --help` tells how; docs/benchmarks.md tells the method."""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

import costs as expenses
import live as watching
import load
import nodes as several
import outages as failing
import population
import server as servers
from server import Failure, Server, ask

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORK = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "bench")
PROGRAM = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "presently")
MIB = 1024 * 1024

FIGURES = {
    "throughput": "heartbeats a second beside the constant answer, latency and disk at full load",
    "steady": "everybody online, each beating once an interval: memory, disk, latency, sweep, lateness, crash, start",
    "engine": "a million users in the engine alone: memory, a heartbeat, the sweep",
    "login": "logins beside the password hash alone, first heartbeats beside later ones",
    "list": "a page of 1,000 of 10,000 users",
    "costs": "each route with everybody online and the worst parameters: processor time, bytes, how long others wait",
    "live": "watching: latency, deliveries, snapshots, resume, memory a connection",
    "nodes": "three nodes: how soon one tells what another decided, commands to Valkey, memory and speed beside one alone",
    "outages": "three nodes: a killed node, a killed Valkey that comes back empty, a killed PostgreSQL",
    "build": "cargo build --release from nothing, and after a change in one crate (only when named)",
}


class Table:
    """The figures measured so far."""

    def __init__(self):
        self.rows = []

    def add(self, figure, value, unit="", target=None, met=None, digits=2):
        self.rows.append({"figure": figure, "value": value, "unit": unit, "target": target, "met": met})
        text = value if isinstance(value, str) else f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"
        self.rows[-1]["text"] = f"{text} {unit}".strip()
        say(f"   {figure}: {self.rows[-1]['text']}")

    def below(self, figure, value, limit, unit, digits=2):
        self.add(figure, value, unit, f"< {limit:,g} {unit}".strip(), value < limit, digits)

    def print(self):
        cells = [("figure", "value", "target", "met")]
        for row in self.rows:
            met = {None: "", True: "yes", False: "NO"}[row["met"]]
            cells.append((row["figure"], row["text"], row["target"] or "", met))
        widths = [max(len(row[n]) for row in cells) for n in range(4)]
        for n, row in enumerate(cells):
            print("  ".join(cell.rjust(width) if m == 1 else cell.ljust(width) for m, (cell, width) in enumerate(zip(row, widths))).rstrip())
            if n == 0:
                print("  ".join("-" * width for width in widths))

    def missed(self):
        return [row for row in self.rows if row["met"] is False]


def say(text):
    print(text, file=sys.stderr, flush=True)


def fresh(name):
    folder = os.path.join(WORK, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


# -------------------------------------------------------------------------------------------------------- throughput

def throughput(table, options):
    users = 10_000
    rounds, seconds = (3, 4) if options.quick else (5, 10)
    server = Server(PROGRAM, fresh("throughput"))
    population.settle(server)
    ids = population.add_users(server, users)
    tokens = os.path.join(server.folder, "tokens")
    population.write_tokens(ids, tokens)
    server.start()
    try:
        load.checked(load.run(server, load.BEAT, 3, connections=64, tokens=tokens, memory=True))
        load.run(server, load.CONSTANT, 2, connections=64)
        constant, beats, ratios, written, p50, p99, p999, constant_us, beat_us = [], [], [], [], [], [], [], [], []

        def processor_us(before, requests):
            return 1e6 * (server.processor_s() - before) / requests

        for _ in range(rounds):
            spent = server.processor_s()
            figures = load.checked(load.run(server, load.CONSTANT, seconds, connections=64))
            constant.append(figures["per_s"])
            constant_us.append(processor_us(spent, figures["requests"]))
            before, spent = server.written_bytes(), server.processor_s()
            figures = load.checked(load.run(server, load.BEAT, seconds, connections=64, tokens=tokens, memory=True))
            time.sleep(2)  # what was heard last is written within about a second; it belongs to this round
            written.append((server.written_bytes() - before) / figures["requests"])
            beat_us.append(processor_us(spent, figures["requests"]))
            beats.append(figures["per_s"])
            ratios.append(beats[-1] / constant[-1])
            p50.append(figures["p50_us"]), p99.append(figures["p99_us"]), p999.append(figures["p999_us"])
        median = statistics.median
        table.add("constant answer, 64 connections", median(constant), "/s", digits=0)
        table.add("heartbeats, 64 connections", median(beats), "/s", digits=0)
        table.add("heartbeats ÷ constant answer", median(ratios), "", "≥ 0.75", median(ratios) >= 0.75)
        table.add("constant answer, the server's processor time", median(constant_us), "µs")
        table.add("heartbeat, the server's processor time", median(beat_us), "µs")
        table.add("heartbeat latency at full load, p50", median(p50) / 1000, "ms")
        table.add("heartbeat latency at full load, p99", median(p99) / 1000, "ms")
        table.add("heartbeat latency at full load, p99.9", median(p999) / 1000, "ms")
        table.below("disk bytes a heartbeat at full load", median(written), 64, "B")
        server.stop()
    finally:
        server.kill()


# ------------------------------------------------------------------------------------------------------------ steady

def steady(table, options):
    counts = [options.users] if options.users else [100_000] if options.quick else [100_000, 1_000_000]
    for count in counts:
        steady_with(table, options, count)


def steady_with(table, options, count):
    # Quick runs shorten the policy, not the proportions: the same part of the users beats each second, or more.
    interval, timeout = (10, 30) if options.quick else (30, 120)
    leavers = max(1_000, count // 100)
    rate = count // interval
    label = f"{count:,} online"
    server = Server(PROGRAM, fresh(f"steady-{count}"), {
        "PRESENTLY_HEARTBEAT_INTERVAL": f"{interval}s",
        "PRESENTLY_INACTIVITY_TIMEOUT": f"{timeout}s",
    })
    say(f"   writing {count + leavers:,} users")
    population.settle(server)
    ids = population.add_users(server, count + leavers)
    admin = population.token(population.admin_id(server))
    stay, leave = os.path.join(server.folder, "stay"), os.path.join(server.folder, "leave")
    population.write_tokens(ids[:count], stay)
    population.write_tokens(ids[count:], leave)
    start_s = server.start()
    if count >= 1_000_000:
        table.below(f"start with {count:,} accounts, nobody online", start_s, 5, "s")
    try:
        empty = server.resident_bytes()
        say(f"   bringing {count:,} users online")
        began = time.monotonic()
        fill = load.start(server, load.BEAT, 1800, connections=64, tokens=stay)
        try:
            reached = load.until(lambda: server.online() >= count or fill.poll() is not None, 900)
        finally:
            load.interrupt(fill)
        filled_s = time.monotonic() - began
        figures = load.result(fill, 30)
        if not reached or server.online() < count:
            raise Failure(f"only {server.online():,} of {count:,} users came online in {filled_s:.0f} s, "
                          f"{figures['status_errors']:,} of {figures['requests']:,} answers were errors")
        table.add(f"{label}: first heartbeat of each (opens a session, kept on disk)", count / filled_s, "/s", digits=0)
        table.add(f"{label}: refused while they came", figures["status_errors"], "", digits=0)
        table.add(f"{label}: latency while they came, p99", figures["p99_us"] / 1000, "ms")
        load.until(lambda: not server.metric("presently_pending_effects"), 60)

        seconds = timeout + 40
        say(f"   {rate:,} heartbeats a second for {seconds} s")
        # The leavers come within the first seconds and go one timeout later; in between only heartbeats cost disk.
        coming_s = timeout // 6
        before = sample(server)
        run = load.start(server, load.BEAT, seconds, connections=256, tokens=stay, rate=rate)
        goodbye = load.start(server, load.BEAT, coming_s, connections=4, tokens=leave, rate=leavers / coming_s)
        came = load.checked(load.result(goodbye, 60))["requests"]
        time.sleep(2)
        calm = sample(server)
        time.sleep(max(0, before["at"] + timeout - 2 - time.monotonic()))
        calm_end = sample(server)
        figures = load.checked(load.result(run, seconds + 60))
        after = sample(server)
        spent = after["at"] - before["at"]

        def written_a_beat(start, end):
            return (end["written"] - start["written"]) / (end["evidence"] - start["evidence"])


        table.add(f"{label}: heartbeats", figures["per_s"], "/s", f"{rate:,}/s asked", figures["per_s"] >= 0.97 * rate, digits=0)
        table.add(f"{label}: latency, p50", figures["p50_us"] / 1000, "ms")
        table.below(f"{label}: latency, p99", figures["p99_us"] / 1000, 20, "ms")
        table.add(f"{label}: latency, p99.9", figures["p999_us"] / 1000, "ms")
        table.add(f"{label}: requests left late by, p99 (the generator's own)", figures["late_p99_ms"], "ms", digits=0)
        table.add(f"{label}: processor", 100 * (after["processor_s"] - before["processor_s"]) / spent, "% of one", digits=0)
        others = (after["busy_s"] - before["busy_s"]) - (after["processor_s"] - before["processor_s"])
        table.add(f"{label}: processor, everything else on it", 100 * others / spent, "% of one", digits=0)
        table.below(f"{label}: disk bytes a heartbeat", written_a_beat(calm, calm_end), 64, "B")
        table.add(f"{label}: the same with {leavers:,} users who come and go", written_a_beat(before, after), "B")
        table.add(f"{label}: memory of the whole process a user", (after["resident"] - empty) / count, "B", digits=0)
        table.add(f"{label}: memory of the whole process", after["resident"] / MIB, "MiB", digits=0)
        if after["sweep_s"] is None:
            table.add(f"{label}: sweep", "not told by the server")
        else:
            table.below(f"{label}: sweep, processor time a second", 1000 * (after["sweep_s"] - before["sweep_s"]) / spent, 1, "ms", digits=3)
        lateness(table, label, before["lateness"], after["lateness"], came)
        still = server.online()
        table.add(f"{label}: online at the end", still, "", f"{count:,} (± the last {leavers:,})", abs(still - count) <= leavers, digits=0)

        crash(table, server, label, stay, ids[:count], rate, admin, count)
        say("   stopping and starting")
        began = time.monotonic()
        server.stop(120)
        table.add(f"{label}: stop", time.monotonic() - began, "s")
        table.below(f"{label}: start with all of them", server.start(), 5, "s")
        server.stop(120)
    finally:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)


def sample(server):
    return {
        "at": time.monotonic(),
        "busy_s": servers.busy_s(),
        "evidence": server.metric("presently_evidence_total"),
        "written": server.written_bytes(),
        "processor_s": server.processor_s(),
        "resident": server.resident_bytes(),
        "sweep_s": server.metric("presently_sweep_seconds_sum"),
        "lateness": server.lateness(),
    }


def lateness(table, label, before, after, expected):
    """How late the leavers were announced offline, out of the histogram's buckets: each figure is a bucket's upper bound."""
    earlier = dict(before)
    counts = [(bound, total - earlier.get(bound, 0)) for bound, total in after]
    total = counts[-1][1] if counts else 0
    if total < 0.9 * expected:
        table.add(f"{label}: offline announced late by", f"only {total:,.0f} of {expected:,} went while it was watched", met=False)
        return
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        bound = next(bound for bound, count in counts if count >= share * total)
        table.add(f"{label}: offline announced late by, {name}", f"≤ {bound:g}", "s")
    bound = next(bound for bound, count in counts if count >= total)
    table.add(f"{label}: offline announced late by, at most", f"≤ {bound:g}", "s", "0–1 s", bound <= 1)


def crash(table, server, label, tokens, ids, rate, admin, count):
    """kill -9 at full load: nobody is thrown offline, and of what was told only the last two seconds may be missing."""
    say("   killing it in the middle of the load")
    step = max(1, len(ids) // 2_000)
    # With the tokens of the load: a new one would open a session, which is kept at once.
    with open(tokens, encoding="ascii") as lines:
        sampled = [(user, line.strip()) for user, line in zip(ids, lines) if (user - ids[0]) % step == 0]
    told = {}
    run = load.start(server, load.BEAT, 60, connections=256, tokens=tokens, rate=rate)
    try:
        time.sleep(5)
        connection = server.connection()
        began = time.monotonic()
        for n, (user, token) in enumerate(sampled):
            if time.monotonic() > began + 8:
                break
            # Spread over four seconds: what is older than the last one or two must be there afterwards.
            time.sleep(max(0, began + 4 * n / len(sampled) - time.monotonic()))
            status, text = ask(connection, "POST", "/api/users/heartbeat/", token)
            if status != 200:
                raise Failure(f"a heartbeat was answered {status}: {text}")
            told[user] = json.loads(text)["last_seen"]
        killed = datetime.datetime.now(datetime.timezone.utc)
        server.kill()
    finally:
        load.interrupt(run)
        try:
            load.result(run, 30)
        except Failure:
            pass
    table.below(f"{label}: start after kill -9", server.start(), 5, "s")
    connection = server.connection()
    lost_s, lost, offline = 0.0, 0, 0
    for user, seen in told.items():
        status, text = ask(connection, "GET", f"/api/users/admin/users/{user}/online-status/", admin)
        if status != 200:
            raise Failure(f"online-status was answered {status}: {text}")
        now = json.loads(text)
        offline += now["online_status"] != "online"
        # Kept evidence is rounded down to the millisecond.
        if moment(now["last_seen"]) < moment(seen) - datetime.timedelta(milliseconds=2):
            lost += 1
            lost_s = max(lost_s, (killed - moment(seen)).total_seconds())
    table.below(f"{label}: kill -9 loses evidence of at most the last", lost_s, 2, "s")
    table.add(f"{label}: kill -9 loses the newest last_seen of, among {len(told):,} told", lost, "", digits=0)
    table.add(f"{label}: after kill -9, offline of {len(told):,} told online", offline, "", "0", offline == 0, digits=0)
    table.add(f"{label}: after kill -9, online", server.online(), "", f"≥ {count:,}", server.online() >= count, digits=0)


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


# ------------------------------------------------------------------------------------------------------------ engine

def engine(table, options):
    environment = {**os.environ, "CARGO_TERM_QUIET": "true"}
    subprocess.run(["cargo", "build", "--locked", "--release", "--quiet", "-p", "presently-core", "--example", "footprint"],
                   cwd=ROOT, env=environment, check=True, timeout=1800)
    program = os.path.join(os.path.dirname(PROGRAM), "examples", "footprint")
    output = subprocess.run(servers.pinned([program], servers.server_cpu()), stdout=subprocess.PIPE, text=True, check=True, timeout=600).stdout

    def told(words):
        line = next((line for line in output.splitlines() if words in line), None)
        if line is None:
            raise Failure(f"the footprint example does not tell \"{words}\"")
        return float(line.split()[0])

    table.below("engine alone, 1,000,000 online: memory a user", told("bytes of memory a user"), 300, "B", digits=0)
    table.add("engine alone, 1,000,000 online: a heartbeat", told("ns a heartbeat"), "ns", digits=0)
    table.below("engine alone, 1,000,000 online: sweep, time a second", told("ms of sweeping a second"), 1, "ms", digits=3)
    table.add("engine alone, 1,000,000 online: longest sweep of 1,000 looks", told("ms for the longest of"), "ms", digits=3)


# ------------------------------------------------------------------------------------------------------ login, list

def login(table, options):
    server = Server(PROGRAM, fresh("login"))
    population.settle(server)
    # A hundred failures of one address in five minutes are the most that are answered.
    rounds = 40 if options.quick else 90
    ids = population.add_users(server, rounds)
    server.start()
    try:
        connection = server.connection()
        good, refused = [], []
        for n in range(1, rounds + 1):
            # An unknown name costs the hash and nothing else.
            for times, name, wanted in ((good, f"u{n}", 200), (refused, f"nobody{n}", 401)):
                began = time.perf_counter()
                status, text = ask(connection, "POST", "/api/auth/login/", body={"username": name, "password": population.PASSWORD})
                times.append(time.perf_counter() - began)
                if status != wanted:
                    raise Failure(f"a login of {name} was answered {status}: {text}")
        hash_ms, login_ms = 1000 * statistics.median(refused), 1000 * statistics.median(good)
        table.add("login, median", login_ms, "ms")
        table.add("the hash alone (login of an unknown name), median", hash_ms, "ms")
        table.add("login ÷ the hash alone", login_ms / hash_ms, "", "≤ 1.25", login_ms / hash_ms <= 1.25)
        # The first one of a session waits until its row is on the disk.
        tokens = [population.token(one) for one in ids]
        for name in ("the first heartbeat of a session", "a later heartbeat"):
            times = []
            for token in tokens:
                began = time.perf_counter()
                status, text = ask(connection, "POST", "/api/users/heartbeat/", token)
                times.append(time.perf_counter() - began)
                if status != 200:
                    raise Failure(f"a heartbeat was answered {status}: {text}")
            table.add(f"{name}, one after the other, median", 1000 * statistics.median(times), "ms")
            table.add(f"{name}, one after the other, p99", 1000 * sorted(times)[int(0.99 * len(times))], "ms")
        server.stop()
    finally:
        server.kill()


def list_(table, options):
    users = 10_000
    server = Server(PROGRAM, fresh("list"))
    population.settle(server)
    ids = population.add_users(server, users)
    tokens = os.path.join(server.folder, "tokens")
    population.write_tokens(ids[: users // 2], tokens)
    admin = population.token(population.admin_id(server))
    server.start()
    try:
        load.checked(load.run(server, load.BEAT, 3, connections=16, tokens=tokens, memory=True))
        connection = server.connection()
        for name, query in (("newest first", ""), ("by last_seen", "&ordering=-last_seen"), ("by online_status", "&ordering=-online_status"),
                            ("search", "&search=u1")):
            times = []
            for n in range(5 + (50 if options.quick else 200)):
                began = time.perf_counter()
                status, text = ask(connection, "GET", f"/api/users/admin/users/?per_page=1000{query}", admin)
                if n >= 5:
                    times.append(time.perf_counter() - began)
                if status != 200 or len(json.loads(text)["results"]) != 1000:
                    raise Failure(f"the list was answered {status}: {text[:200]}")
            table.below(f"list of 1,000 of {users:,} users, {name}, median", 1000 * statistics.median(times), 10, "ms")
            table.add(f"list of 1,000 of {users:,} users, {name}, p99", 1000 * sorted(times)[int(0.99 * len(times))], "ms")
        server.stop()
    finally:
        server.kill()


# -------------------------------------------------------------------------------------------------------------- live

def live(table, options):
    watching.live(table, options, Server(PROGRAM, fresh("live"), watching.SETTINGS))


# ------------------------------------------------------------------------------------------------------------- costs

def costs(table, options):
    expenses.costs(table, options, PROGRAM, fresh)


# ------------------------------------------------------------------------------------------------------------- nodes

def nodes(table, options):
    several.nodes(table, options, PROGRAM, fresh)


def outages(table, options):
    failing.outages(table, options, PROGRAM, fresh)


# ------------------------------------------------------------------------------------------------------------- build

def build(table, options):
    folder = fresh("build")
    environment = {**os.environ, "CARGO_TARGET_DIR": folder, "CARGO_INCREMENTAL": "0"}

    def timed():
        began = time.monotonic()
        subprocess.run(["cargo", "build", "--locked", "--release", "--quiet"], cwd=ROOT, env=environment, check=True, timeout=3600,
                       preexec_fn=lambda: os.sched_setaffinity(0, servers.processors()))
        return time.monotonic() - began

    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=ROOT, check=True, timeout=600)
    table.below("cargo build --release from nothing", timed(), 480, "s", digits=0)
    for crate in ("server", "sql", "accounts", "presently", "core"):
        os.utime(os.path.join(ROOT, "crates", crate, "src", "lib.rs"))
        table.below(f"cargo build --release after a change in crates/{crate}", timed(), 60, "s", digits=0)
    shutil.rmtree(folder, ignore_errors=True)


# -------------------------------------------------------------------------------------------------------------- main

def machine():
    def first(path, start):
        try:
            with open(path, encoding="utf-8") as lines:
                return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(start)), "")
        except OSError:
            return ""

    def output(*command):
        try:
            return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
        except OSError:
            return ""

    return {
        "processor": first("/proc/cpuinfo", "model name"),
        "processors": len(servers.processors()),
        "memory": first("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "rustc": output("rustc", "--version"),
        "commit": output("git", "describe", "--always", "--dirty"),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }


def main():
    names = "\n".join(f"  {name:11} {what}" for name, what in FIGURES.items())
    parser = argparse.ArgumentParser(
        prog="./bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures what Presently promises, against a server of its own on the loopback, and prints a table.\n"
                    "The server runs on the first processor, the load on the second. Nothing leaves the machine.",
        epilog=f"figures:\n{names}\n\nWithout names: all but build. --quick takes some minutes; the full run with a million users about\n"
               "thirty-five, 4 GB of memory and 2 GB of disk below target/. nodes and outages start a PostgreSQL and a Valkey or\n"
               "Redis of their own, in /var/tmp. The method is in docs/benchmarks.md.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help="only these")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 100,000 users, a shorter timeout")
    parser.add_argument("--users", type=int, metavar="N", help="this many users online in `steady`, instead of 100,000 and 1,000,000; in `nodes`, instead of 100,000")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too (- is the standard output, instead of the table)")
    options = parser.parse_args()
    unknown = [name for name in options.figures if name not in FIGURES]
    if unknown:
        parser.error(f"there is no figure {unknown[0]}; they are {', '.join(FIGURES)}")

    about = machine()
    say(", ".join(f"{key} {value}" for key, value in about.items() if value))
    # This process makes load too, so it keeps off the server's processor.
    servers.pin_this_process()
    table, failures = Table(), []
    for name in options.figures or [name for name in FIGURES if name != "build"]:
        say(f"== {name}: {FIGURES[name]}")
        share = servers.wait_for_quiet()
        if share >= 0.05:
            table.add(f"{name}: others held the server's processor before it began for", f"{100 * share:.0f} % of the time: no figure below is worth much")
        try:
            {"list": list_}.get(name, globals().get(name))(table, options)
        except (Failure, subprocess.SubprocessError, OSError) as error:
            failures.append(name)
            table.add(name, f"failed: {error}", met=False)
    result = {"machine": about, "quick": options.quick,
              "figures": [{key: row[key] for key in ("figure", "value", "unit", "target", "met")} for row in table.rows]}
    if options.json == "-":
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        print()
        table.print()
        if options.json:
            with open(options.json, "w", encoding="utf-8") as out:
                json.dump(result, out, indent=2, ensure_ascii=False)
                out.write("\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
