"""wrk, and what it says."""

import json
import os
import signal
import subprocess
import time

from server import Failure, generator_cpus, pinned

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrk.lua")
BEAT = ("POST", "/api/users/heartbeat/")
CONSTANT = ("GET", "/healthz")


def start(server, what, seconds, connections, tokens=None, memory=False, rate=None):
    method, path = what
    options = [f"method={method}", f"path={path}"]
    if tokens:
        options.append(f"tokens={tokens}")
    if memory:
        options.append("memory=1")
    if rate:
        options.append(f"rate={rate}")
    return subprocess.Popen(
        pinned(["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s", "-s", SCRIPT, server.url, "--",
                *options], generator_cpus()[0]),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def result(process, within_s):
    """Waits for the end and returns the figures; `per_s` is worked out here."""
    try:
        output, _ = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failure("wrk did not end in time") from None
    lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise Failure(f"wrk: {output.strip()[-300:]}")
    figures = json.loads(lines[-1][len("RESULT "):])
    figures["per_s"] = figures["requests"] / (figures["duration_us"] / 1e6)
    return figures


def run(server, what, seconds, **options):
    return result(start(server, what, seconds, **options), seconds + 30)


def checked(figures):
    """The figures, refused when the answers were no success: a fast 401 is no heartbeat."""
    if figures["status_errors"]:
        raise Failure(f"{figures['status_errors']} of {figures['requests']} answers were errors")
    return figures


def interrupt(process):
    """Ends a run before its time; `result` then has the figures until now."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)


def until(condition, within_s, every_s=0.5):
    """Waits for the condition; false when it did not come to hold in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(every_s)
    return False
