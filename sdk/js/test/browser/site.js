// The real server, a page of another origin, and a browser.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Server, freePort, launch, until } from "./harness.js";

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
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

const REACT_PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>React</title><link rel="icon" href="data:,">
<main></main><script type="module" src="/react.js"></script></html>`;

/** A page that React makes, bundled as an application would be. */
const REACT_APP = `
import { StrictMode, createElement, useState } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "../../src/index.js";
import { usePresence } from "../../src/react.js";
const at = new URLSearchParams(location.search);
window.told = [true];
window.presence = connect({ url: at.get("server"), token: at.get("token") });
function People() {
  const [ids, setIds] = useState(at.get("watch").split(","));
  window.setIds = setIds;
  const presences = usePresence(window.presence, ids);
  return createElement("p", null, Object.values(presences).map((p) => p.user_id + " " + p.status).join(", "));
}
createRoot(document.querySelector("main")).render(createElement(StrictMode, null, createElement(People)));
`;

async function reactApp() {
  const made = await build({
    stdin: { contents: REACT_APP, resolveDir: here(".") },
    bundle: true,
    write: false,
    format: "esm",
    define: { "process.env.NODE_ENV": '"production"' },
  });
  return made.outputFiles[0].text;
}

export class World {
  /** @type {string[]} what the consoles of all pages complained about */
  complaints = [];

  static async start() {
    const world = new World();
    const pages = {
      "/": PAGE,
      "/other": "<!doctype html><title>Other</title><link rel=icon href=data:,>",
      "/chat": await readFile(here("../../../../examples/chat/index.html"), "utf8"),
      "/react": REACT_PAGE,
      "/react.js": await reactApp(),
    };
    world.site = createServer((request, answer) => {
      const path = new URL(request.url, "http://localhost").pathname;
      answer.statusCode = path in pages ? 200 : 404;
      answer.setHeader("Content-Type", path.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8");
      answer.end(pages[path]);
    }).listen(0, "127.0.0.1");
    await once(world.site, "listening");
    world.origin = `http://localhost:${world.site.address().port}`;
    const times = ["--inactivity-timeout", "6s", "--heartbeat-interval", "2s", "--reconnect-grace", "5s"];
    world.server = new Server(await freePort(), ["--cors-origins", world.origin, ...times]);
    // Of another site than the page's, which is at localhost.
    world.url = `http://127.0.0.1:${world.server.port}`;
    await world.server.run();
    world.bob = await world.user("bob");
    world.browser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
    return world;
  }

  async stop() {
    await this.browser?.close();
    this.site?.close();
    await this.server?.stop();
  }

  /** Makes somebody, and signs them in. */
  async user(name) {
    this.server.user(name);
    return until(`${name} is known`, 10_000, () => this.login(name));
  }

  async login(name) {
    const { id, token } = await this.server.login(name);
    return { id: String(id), name, access: token };
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
      const known = new Set([new URL(this.url).host, new URL(this.origin).host]);
      const asks = (/** @type {string} */ url) => {
        if (/^(http|ws)/.test(url) && !known.has(new URL(url).host)) this.complaints.push(`a request to ${url}`);
      };
      page.on("request", (request) => asks(request.url()));
      page.on("websocket", (socket) => asks(socket.url()));
    });
    return context;
  }

  address(user, { path = "/", ...more } = {}) {
    const query = new URLSearchParams({ server: this.url, token: user.access, watch: this.bob.id, ...more });
    return `${this.origin}${path}?${query}`;
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
