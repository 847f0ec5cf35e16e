"""Runs README.md as a newcomer would: its commands in order, its Rust example through the compiler.

A ```json block after a ```sh block is what the commands print: the same keys, and the same values where they are words.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
PROGRAM = os.path.join(TARGET, "release", "presently")
FOLDER = os.path.join(TARGET, "readme")
passed, failed = 0, 0


def check(what, holds, detail=""):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    print(("ok      " if holds else "FAILED  ") + what + (f"\n{detail}" if detail and not holds else ""), flush=True)
    return holds


def blocks():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as page:
        return re.findall(r"^```(\w+)\n(.*?)^```$", page.read(), re.S | re.M)


def like(expected, told):
    """The same shape; strings that are one plain word or a sentence are the same."""
    if isinstance(expected, dict):
        return isinstance(told, dict) and expected.keys() == told.keys() and all(like(expected[k], told[k]) for k in expected)
    if isinstance(expected, str) and re.fullmatch(r"[A-Za-z ]+", expected):
        return told == expected
    return type(expected) is type(told)


class Session:
    """One bash that stays, as the newcomer's terminal does."""

    MARK = "-- end of the block --"

    def __init__(self, port):
        self.port = port
        self.bash = subprocess.Popen(["bash"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True)

    def run(self, text):
        # What streams for ever is listened to for a moment.
        text = re.sub(r"^curl -N (.*)$", r"{ timeout 2 curl -sfN \1; [ $? -eq 124 ]; }", text, flags=re.M)
        text = text.replace("cargo run --release --", f'"{PROGRAM}"').replace("localhost:8000", f"localhost:{self.port}")
        # A group with one exit code: the first command that fails ends the block, its variables stay.
        lines = " &&\n".join(line for line in re.sub(r"\\\n", "", text).strip().split("\n"))
        self.bash.stdin.write(f"set -o pipefail; {lines}\necho; echo '{self.MARK}' $?\n")
        self.bash.stdin.flush()
        output = []
        for line in self.bash.stdout:
            if line.startswith(self.MARK):
                return int(line.split()[-1]), "".join(output)
            output.append(line)
        return 1, "".join(output)

    def close(self):
        self.bash.stdin.close()
        self.bash.wait(10)


def start(port):
    out = open(os.path.join(FOLDER, "stdout"), "w", encoding="utf-8")
    server = subprocess.Popen([PROGRAM], cwd=FOLDER, stdout=out, stderr=subprocess.STDOUT,
                              env={**os.environ, "PRESENTLY_LISTEN": f"127.0.0.1:{port}"})
    out.close()
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return server
        except OSError:
            pass
        if server.poll() is not None:
            break
        time.sleep(0.05)
    return server


def printed():
    with open(os.path.join(FOLDER, "stdout"), encoding="utf-8") as out:
        return re.sub(r"\x1b\[[0-9;]*m", "", out.read())


def commands_of(text):
    """The curl commands that the server printed, lines that end in a backslash joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.strip().removeprefix("$ ") for line in joined.splitlines()
            if re.match(r"\s*(\$ )?(curl |[A-Z_]+=\$\(curl )", line)]


def rust(text):
    crate = os.path.join(FOLDER, "example")
    os.makedirs(os.path.join(crate, "src"))
    shutil.copy(os.path.join(ROOT, "Cargo.lock"), crate)
    with open(os.path.join(crate, "Cargo.toml"), "w", encoding="utf-8") as manifest:
        manifest.write('[package]\nname = "readme-example"\nversion = "0.0.0"\nedition = "2024"\n\n[workspace]\n\n[dependencies]\n'
                       f'presently = {{ path = "{ROOT}/crates/presently" }}\n'
                       'tokio = { version = "1", features = ["rt-multi-thread", "macros", "time"] }\n')
    with open(os.path.join(crate, "src", "main.rs"), "w", encoding="utf-8") as main:
        main.write(text + "\n#[tokio::main]\nasync fn main() {\n    example().await.unwrap();\n}\n")
    done = subprocess.run(["cargo", "run", "--quiet", "--manifest-path", os.path.join(crate, "Cargo.toml")], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=1200,
                          env={**os.environ, "CARGO_TARGET_DIR": os.path.join(TARGET, "readme-target")})
    check("the Rust example runs", done.returncode == 0, done.stdout)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = blocks()
    check("the first command is cargo run --release", page[1] == ("sh", "cargo run --release\n"), str(page[1]))

    server = start(port)
    terminal = Session(port)
    try:
        check("it starts", server.poll() is None, printed())
        output = ""
        for kind, text in page[2:]:
            if kind == "sh":
                code, output = terminal.run(text)
                check(text.strip().splitlines()[-1].strip()[:100], code == 0, output + printed()[-2000:])
                if text.startswith("curl -N"):
                    check("  begins with a snapshot", "event: snapshot" in output, output)
            elif kind == "json":
                try:
                    told = json.loads(output)
                except ValueError:
                    told = None
                check("  prints what the page says", like(json.loads(text), told), f"{text}{output}")
        told = commands_of(printed())
        check("the server prints commands to try", len(told) >= 2, printed())
        for command in told:
            # A heartbeat or a login that is refused is no success: curl itself would say so only with --fail.
            code, output = terminal.run(command.replace("curl ", "curl --fail-with-body -s ", 1))
            check(f"printed: {command[:100]}", code == 0, output)
    finally:
        terminal.close()
        server.send_signal(signal.SIGTERM)
        try:
            check("it stops on SIGTERM with exit code 0", server.wait(20) == 0, printed()[-2000:])
        except subprocess.TimeoutExpired:
            server.kill()
            check("it stops on SIGTERM", False)
    for kind, text in page:
        if kind == "rust":
            rust(text)
    print(f"test result: {passed} passed; {failed} failed")
    sys.exit(1 if failed else 0)


main()
