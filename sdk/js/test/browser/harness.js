// The real server, a page of another origin, and Debian's Chromium.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
const BIN = resolve(process.env.PRESENTLY_BIN ?? here("../../../../target/release/presently"));
const PASSWORD = "a long pass phrase";

export const sleep = (ms) => new Promise((later) => setTimeout(later, ms));

/** Waits until it holds. */
export async function until(what, holds, ms = 10_000) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      last = await holds();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms (${last})`);
    await sleep(50);
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Test</title><link rel="icon" href="data:,">
<presence-dot></presence-dot><a href="/other">elsewhere on this site</a>
<script type="module">
  const at = new URLSearchParams(location.search);
  const server = at.get("server");
  const { connect } = await import(server + "/sdk/presently.js");
  const { PresenceDot } = await import(server + "/sdk/dot.js");
  window.told = [];
  window.stopped = [];
  window.presence = connect({
    url: server,
    token: async () => at.get("token"),
    idleAfter: Number(at.get("idle") ?? 300000),
    onStop: (code) => window.stopped.push(code),
  });
  window.presence.watch(at.get("watch").split(","), (changes) => window.told.push(...changes.map((p) => p.user_id + " " + p.status)));
  PresenceDot.presence = window.presence;
  document.querySelector("presence-dot").setAttribute("user", at.get("watch").split(",")[0]);
</script></html>`;

export class World {
  /** @type {string[]} what the consoles of all pages complained about */
  complaints = [];

  static async start() {
    const world = new World();
    world.folder = await mkdtemp(join(tmpdir(), "presently-sdk-"));
    world.port = await freePort();
    world.url = `http://127.0.0.1:${world.port}`;
    world.site = createServer(async (request, answer) => {
      const path = new URL(request.url, "http://localhost").pathname;
      const chat = path === "/chat" && (await readFile(here("../../../../examples/chat/index.html")));
      answer.setHeader("Content-Type", "text/html; charset=utf-8");
      answer.end(chat || (path === "/other" ? "<!doctype html><title>Other</title><link rel=icon href=data:,>" : PAGE));
    }).listen(0, "127.0.0.1");
    await once(world.site, "listening");
    world.origin = `http://localhost:${world.site.address().port}`;
    await world.serve();
    world.bob = await world.user("bob");
    const path = process.env.CHROMIUM ?? "/usr/bin/chromium";
    const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
    world.browser = await chromium.launch({ executablePath: path, args, ignoreDefaultArgs: ["--disable-back-forward-cache"] });
    return world;
  }

  async serve() {
    const args = ["--listen", `127.0.0.1:${this.port}`, "--cors-origins", this.origin];
    const times = ["--inactivity-timeout", "6s", "--heartbeat-interval", "2s", "--reconnect-grace", "5s"];
    this.server = spawn(BIN, [...args, ...times], { cwd: this.folder, stdio: "ignore" });
    await until("the server answers", async () => (await fetch(`${this.url}/healthz`)).ok, 20_000);
  }

  async kill() {
    this.server.kill("SIGKILL");
    await once(this.server, "exit");
    await until("the port is free", () => new Promise((free) => dial(this.port, "127.0.0.1").on("error", () => free(true)).on("connect", () => free(false))));
  }

  async stop() {
    await this.browser?.close();
    this.site?.close();
    this.server?.kill("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Makes somebody, and signs them in. */
  async user(name) {
    const args = ["user", "create", name, "--email", `${name}@example.org`, "--role", "user", "--password-stdin"];
    const made = spawnSync(BIN, args, { cwd: this.folder, input: PASSWORD, encoding: "utf8" });
    if (made.status !== 0) throw new Error(made.stderr);
    return until(`${name} is known`, () => this.login(name));
  }

  async login(username) {
    const answer = await fetch(`${this.url}/api/auth/login/`, { method: "POST", body: JSON.stringify({ username, password: PASSWORD }) });
    const { user, tokens } = await answer.json();
    return { id: String(user.id), name: username, access: tokens.access };
  }

  async ask(path) {
    const answer = await fetch(this.url + path, { headers: { Authorization: `Bearer ${this.bob.access}` } });
    return answer.json();
  }

  status = async (id) => (await this.ask(`/api/presence/${id}`)).status;

  /** Every change of this user so far. */
  history = async (id) => (await this.ask(`/api/presence/${id}/history`)).transitions.map(({ to }) => to);

  /** Sockets and event streams that are open at the server. */
  async streams() {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(/^presently_streams (\d+)/m.exec(text)?.[1] ?? NaN);
  }

  async window() {
    const context = await this.browser.newContext();
    context.on("page", (page) => {
      page.on("pageerror", (error) => this.complaints.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") this.complaints.push(message.text());
      });
    });
    return context;
  }

  address(user, more = {}) {
    const query = new URLSearchParams({ server: this.url, token: user.access, watch: this.bob.id, ...more });
    return `${this.origin}/?${query}`;
  }

  /** Opens a page, and waits until it was told something. */
  async tab(context, user, more) {
    const page = await context.newPage();
    await page.goto(this.address(user, more));
    await this.connected(page);
    return page;
  }

  connected = (page) => page.waitForFunction(() => window.told?.length > 0, null, { timeout: 20_000 });
}
