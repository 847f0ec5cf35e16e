// A real server and a real browser, for the tests of the panel and of this package.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as dial, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** The program. */
export const BIN = /** @type {string} */ (process.env.PRESENTLY_BIN);
/** Everybody's password. */
export const PASSWORD = "correct horse battery staple";
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** Nothing of the browser's own asks anybody for anything. */
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

assert.ok(BIN, "PRESENTLY_BIN says where the program is");

/** A browser. */
export const launch = (options = {}) => chromium.launch({ executablePath: CHROMIUM, args: ARGS, ...options });

export const sleep = (ms) => new Promise((later) => setTimeout(later, ms));

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  return port;
}

/** Waits until `holds` gives something, at most `ms`. */
export async function until(what, ms, holds) {
  const end = Date.now() + ms;
  for (;;) {
    const held = await holds().catch((error) => error);
    if (held && !(held instanceof Error)) return held;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what} (${held})`);
    await sleep(25);
  }
}

/** A server of its own, in a folder of its own. */
export class Server {
  constructor(port, flags) {
    this.folder = mkdtempSync(join(tmpdir(), "presently-browser-"));
    this.port = port;
    this.base = `http://localhost:${this.port}`;
    this.flags = flags;
    this.database = `sqlite:${join(this.folder, "presently.db")}`;
  }

  /** One that runs, with an admin who is signed in. */
  static async start(flags = []) {
    const server = new Server(await freePort(), flags);
    await server.run();
    server.user("boss", "admin");
    server.boss = await server.login("boss");
    return server;
  }

  async run() {
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--database-url", this.database, ...this.flags];
    this.process = spawn(BIN, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.log = "";
    this.process.stdout.on("data", (text) => (this.log += text));
    await until("the server is ready", 20_000, async () => (await fetch(`${this.base}/readyz`)).ok);
  }

  /** Ends the process without a goodbye. */
  async kill() {
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
    await until("the port is free", 10_000, () => new Promise((free) => dial(this.port, "127.0.0.1").on("error", () => free(true)).on("connect", () => free(false))));
  }

  /** Nothing of it runs until it is thawed. */
  freeze = () => this.process.kill("SIGSTOP");
  thaw = () => this.process.kill("SIGCONT");

  async stop() {
    const gone = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await Promise.race([gone, sleep(5_000)]);
    this.process.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** What the database is told while the server is down. */
  sql(text) {
    const done = spawnSync("sqlite3", [join(this.folder, "presently.db")], { input: text, encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
    return done.stdout;
  }

  /** The key of an application. */
  key() {
    const made = spawnSync(BIN, ["key", "create", "tests", "--database-url", this.database], { encoding: "utf8" });
    assert.equal(made.status, 0, made.stderr);
    return made.stdout.trim();
  }

  /** Evidence of these users, as the back end of an application reports it. */
  touch(key, users) {
    return this.call("POST", "/api/presence/touch", { token: key, body: { users } });
  }

  /** Makes an account, with the program. */
  user(name, role = "user", more = []) {
    const args = ["user", "create", name, "--email", `${name}@example.org`, "--role", role, "--password-stdin", "--database-url", this.database, ...more];
    const made = spawnSync(BIN, args, { input: `${PASSWORD}\n`, encoding: "utf8" });
    assert.equal(made.status, 0, made.stderr);
  }

  async call(method, path, { token, body } = {}) {
    const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const response = await fetch(this.base + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${response.ok ? "" : await response.text()}`);
    return response.status === 204 ? null : response.json();
  }

  /** Somebody who is signed in, and online by it. */
  async login(username) {
    const { user, tokens } = await this.call("POST", "/api/auth/login/", { body: { username, password: PASSWORD } });
    return {
      id: user.id,
      token: tokens.access,
      beat: (body) => this.call("POST", "/api/users/heartbeat/", { token: tokens.access, body }),
      logout: () => this.call("POST", "/api/auth/logout/", { token: tokens.access }),
    };
  }

  /** Makes an account as the admin does. */
  make(username, more = {}) {
    return this.call("POST", "/api/users/admin/users/", { token: this.boss.token, body: { username, email: `${username}@example.org`, password: PASSWORD, ...more } });
  }
}
