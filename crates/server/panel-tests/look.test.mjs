// How it looks: pictures of every page, what axe finds, a phone, the keyboard.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { Panel, Server, until } from "./harness.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const PEOPLE = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Hedy Lamarr", "Tim Berners-Lee", "Radia Perlman", "Vint Cerf", "Barbara Liskov", "Linus Torvalds", "Margaret Hamilton", "Ken Thompson", "Frances Allen"];

/** @type {Server} */
let server;
/** @type {Panel} */
let panel;
/** @type {number} */
let somebody;

before(async () => {
  server = await Server.start(["--inactivity-timeout", "600s"]);
  for (const person of PEOPLE) {
    const [first, last] = person.split(" ");
    await server.make(first.toLowerCase(), { first_name: first, last_name: last, role: person.startsWith("Grace") ? "moderator" : "user" });
  }
  await remember();
  for (const person of PEOPLE.slice(0, 8)) {
    const user = await server.login(person.split(" ")[0].toLowerCase());
    if (/Alan|Radia/.test(person)) await user.beat({ activity: "idle" });
    if (/Vint/.test(person)) await user.logout();
    if (/Ada/.test(person)) {
      somebody = user.id;
      await user.beat({ activity: "idle" });
      await user.beat({ activity: "active" });
    }
  }
});
after(() => server.stop());
beforeEach(async () => {
  panel = await Panel.open(server);
});
afterEach(() => panel.close());

/** Gives everybody a week behind them, as a server that had run for that long would have kept it. */
async function remember() {
  await server.kill();
  const day = 86_400e6;
  const rows = [];
  const end = Date.now() * 1000 - 60e6;
  let place = 7;
  /** The same every time. */
  const next = (below) => (place = (place * 48_271) % 2_147_483_647) % below;
  for (let user = 2; user <= PEOPLE.length + 1; user++) {
    let status = "offline";
    for (let at = end - 7 * day; at < end; at += (20 + next(status === "offline" ? 500 : 120)) * 60e6) {
      const to = status === "offline" ? "online" : next(3) ? "offline" : status === "online" ? "away" : "online";
      rows.push(`('${user}','${status}','${to}',${at},${at},'${to === "offline" ? "expired" : "evidence"}')`);
      status = to;
    }
    if (status !== "offline") rows.push(`('${user}','${status}','offline',${end},${end},'logout')`);
  }
  const sql = `INSERT INTO transitions (user_id, from_status, to_status, at, last_seen, reason) VALUES ${rows.join(",")};`;
  const made = spawnSync("sqlite3", [join(server.folder, "presently.db")], { input: sql, encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  await server.run();
}

const PAGES = () => ({ overview: "#/overview", users: "#/users", user: `#/users/${somebody}`, keys: "#/keys", audit: "#/audit" });
const READY = { overview: "figure svg", users: "tr[data-user]", user: ".because", keys: "h1", audit: "tbody tr" };

async function visit(name) {
  await panel.go(PAGES()[name]);
  await panel.page.locator(READY[name]).first().waitFor();
}

async function axe(what) {
  await panel.page.addScriptTag({ path: AXE }).catch(() => panel.page.evaluate(() => undefined));
  const violations = await panel.page.evaluate(async () => {
    const found = await /** @type {any} */ (window).axe.run(document, { resultTypes: ["violations"] });
    return found.violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => `${node.target} ${node.failureSummary}`).slice(0, 3) }));
  });
  assert.deepEqual(violations.filter(({ impact }) => impact === "serious" || impact === "critical"), [], what);
}

for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  test(`axe finds nothing serious on any page (${colorScheme})`, async () => {
    // The checker is a script from outside the page: the policy would refuse it, as it should.
    await panel.renew({ colorScheme, bypassCSP: true });
    panel.expected = /401/;
    await panel.page.goto(`${server.base}/admin`);
    await panel.page.getByLabel("Username").waitFor();
    await axe("the sign-in");
    await panel.signIn();
    for (const name of Object.keys(PAGES())) {
      await visit(name);
      await axe(name);
    }
    await visit("user");
    await panel.page.getByRole("button", { name: "Set status…" }).click();
    await panel.page.getByRole("dialog").waitFor();
    await axe("a dialog");
    await panel.page.keyboard.press("Escape");
    await panel.page.goto(`${server.base}/admin/troubleshooting`);
    await axe("the guide");
  });

  test(`pictures of every page (${colorScheme})`, async () => {
    await panel.renew({ colorScheme });
    await panel.signIn();
    for (const name of Object.keys(PAGES())) {
      await visit(name);
      if (name === "users" || name === "user") await panel.live();
      await panel.picture(`${name}-${colorScheme}`);
    }
  });
}

test("on a phone nothing is wider than the screen", async () => {
  await panel.renew({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
  await panel.signIn();
  for (const name of Object.keys(PAGES())) {
    await visit(name);
    const wide = await panel.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, `${name} scrolls sideways by ${wide} px`);
    await panel.picture(`${name}-phone`);
  }
});

test("nothing is drawn as the name of an object", async () => {
  await panel.signIn();
  for (const name of Object.keys(PAGES())) {
    await visit(name);
    const text = await panel.page.locator("main").innerText();
    assert.ok(!/\[object|undefined|NaN|null/.test(text), `${name}: ${text}`);
  }
});

test("the keyboard reaches everything", async () => {
  await panel.signIn("boss", "#/users");
  await panel.live();
  const reached = new Set();
  await panel.page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement)?.blur());
  for (let n = 0; n < 60; n++) {
    await panel.page.keyboard.press("Tab");
    reached.add(await panel.page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent?.trim() ?? ""));
  }
  for (const name of ["Overview", "Users", "Sign out", "New user", "Search names and e-mail", "Status", "Role", "grace"]) assert.ok(reached.has(name), `${name} is not reached: ${[...reached].join(", ")}`);
  await panel.page.getByRole("link", { name: "ada" }).focus();
  await panel.page.keyboard.press("Enter");
  await panel.page.getByRole("heading", { name: "ada" }).waitFor();
  await until("a dialog takes the focus and gives it back", 3_000, async () => {
    const button = panel.page.getByRole("button", { name: "Suspend…" });
    await button.focus();
    await panel.page.keyboard.press("Enter");
    await panel.page.getByRole("dialog").waitFor();
    await panel.page.keyboard.press("Escape");
    return button.evaluate((element) => element === document.activeElement);
  });
});

test("the overview counts who is there", async () => {
  await panel.signIn();
  const tile = (title) => panel.page.locator(".tile", { hasText: title }).locator("dd").first();
  // Six of the people, and the boss; Alan and Radia are idle.
  await until("online", 5_000, async () => (await tile("Online now").textContent()) === "6");
  assert.equal(await tile("Away now").textContent(), "2");
  await panel.page.locator("figure svg path.line.online").waitFor();
  await panel.page.getByRole("button", { name: "Last day" }).click();
  await panel.page.getByRole("img", { name: /over the last day/ }).waitFor();
});
