// A real server and a real browser. Whatever a test does, it ends with no console error, no policy violation and no request to
// another host: `Panel.close` looks.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const BIN = process.env.PRESENTLY_BIN;
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
export const PASSWORD = "correct horse battery staple";
/** Where pictures go. */
export const PICTURES = process.env.PICTURES ?? join(tmpdir(), "presently-pictures");

assert.ok(BIN, "PRESENTLY_BIN says where the program is");

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
    const held = await holds().catch(() => false);
    if (held) return held;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((later) => setTimeout(later, 25));
  }
}

/** A server of its own, in a folder of its own. */
export class Server {
  constructor(port, flags) {
    this.folder = mkdtempSync(join(tmpdir(), "presently-panel-"));
    this.port = port;
    this.base = `http://localhost:${this.port}`;
    this.flags = flags;
    this.database = `sqlite:${join(this.folder, "presently.db")}`;
  }

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
    const gone = new Promise((done) => this.process.once("exit", done));
    this.process.kill("SIGKILL");
    await gone;
  }

  async stop() {
    const gone = new Promise((done) => this.process.once("exit", done));
    this.process.kill("SIGTERM");
    await Promise.race([gone, new Promise((late) => setTimeout(late, 5_000))]);
    this.process.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
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

/** A browser on the panel of a server. */
export class Panel {
  static async open(server, options = {}) {
    const panel = new Panel();
    panel.server = server;
    panel.browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS });
    await panel.renew(options);
    return panel;
  }

  /** A fresh context: no cookies. */
  async renew(options = {}) {
    await this.context?.close();
    this.faults = [];
    /** Set while the server is away: what the browser says of that is no fault. */
    this.away = false;
    this.context = await this.browser.newContext({ viewport: { width: 1280, height: 860 }, locale: "en-GB", timezoneId: "Europe/Berlin", ...options });
    this.page = await this.context.newPage();
    this.page.on("pageerror", (error) => this.faults.push(`error: ${error.stack}`));
    this.page.on("console", (message) => {
      const text = message.text();
      // The browser writes down every answer that is no success; those that a test asks for are no fault.
      if (message.type() === "error" && !(this.away && /Failed to load|ERR_/.test(text)) && !this.expected?.test(text)) this.faults.push(`console: ${text}`);
    });
    this.page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${this.server.base}/`) && !url.startsWith("data:")) this.faults.push(`elsewhere: ${url}`);
    });
    await this.context.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  }

  async signIn(username = "boss", hash = "") {
    this.expected = /401/;
    await this.page.goto(`${this.server.base}/admin${hash}`);
    await this.page.getByLabel("Username").fill(username);
    await this.page.getByLabel("Password").fill(PASSWORD);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.page.getByRole("navigation", { name: "Pages", exact: true }).waitFor();
    this.expected = undefined;
  }

  async go(hash) {
    await this.page.goto(`${this.server.base}/admin${hash}`);
  }

  /** The dot of a user in the table. */
  status(id) {
    return this.page.locator(`tr[data-user="${id}"] .dot`).textContent({ timeout: 100 });
  }

  /** Waits until the table shows this, at most two seconds. */
  shows(id, status, ms = 2_000) {
    return until(`user ${id} shows ${status}`, ms, async () => (await this.status(id)) === status);
  }

  async live() {
    await this.page.locator(".push.live").waitFor();
  }

  picture(name) {
    mkdirSync(PICTURES, { recursive: true });
    return this.page.screenshot({ path: join(PICTURES, `${name}.png`) });
  }

  async close() {
    await this.browser.close();
    assert.deepEqual(this.faults, []);
  }
}
