// How it looks: pictures of every page, what axe finds, a phone, the keyboard.

import assert from "node:assert/strict";
import { copyFileSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { Server, until } from "../../../sdk/js/test/browser/harness.js";
import { Panel, PICTURES } from "./panel.mjs";

const AXE = readFileSync(createRequire(new URL("../../../sdk/js/package.json", import.meta.url)).resolve("axe-core/axe.min.js"), "utf8");
const PEOPLE = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Hedy Lamarr", "Mary Jackson", "Radia Perlman", "Vint Cerf", "Barbara Liskov", "Katherine Johnson", "Margaret Hamilton", "Annie Easley", "Frances Allen"];
/** Users of an application, without accounts: so many, and so many of them are there. */
const CROWD = 400;
const THERE = 260;
/** README.md shows these, each in one of the schemes. They are renewed when README_PICTURES is set. */
const OF_README = { users: "light", user: "light", overview: "dark" };
const IMAGES = new URL("../../../docs/images/", import.meta.url).pathname;

/** @type {Server} */
let server;
/** @type {Panel} */
let panel;
/** @type {number} */
let somebody;

before(async () => {
  server = await Server.start(["--inactivity-timeout", "600s"]);
  const key = server.key();
  for (const person of PEOPLE) {
    const [first, last] = person.split(" ");
    await server.make(first.toLowerCase(), { first_name: first, last_name: last, role: person.startsWith("Grace") ? "moderator" : "user", status: person.startsWith("Frances") ? "pending" : "active" });
  }
  for (const person of PEOPLE.slice(0, 9)) {
    const user = await server.login(person.split(" ")[0].toLowerCase());
    if (/Alan|Radia/.test(person)) await user.beat({ activity: "idle" });
    if (/Vint|Katherine/.test(person)) await user.logout();
    if (/Ada/.test(person)) somebody = user.id;
  }
  const crowd = Array.from({ length: THERE }, (_, n) => ({ user_id: `shop-${n}`, activity: n % 6 ? "active" : "idle" }));
  await server.touch(key, crowd);
  await remember();
});
after(() => server.stop());
beforeEach(async () => {
  panel = await Panel.open(server);
});
afterEach(() => panel.close());

/** Gives everybody a week behind them, as a server that had run for that long would have kept it. */
async function remember() {
  // What is live is written down within a second.
  await new Promise((later) => setTimeout(later, 1_500));
  await server.kill();
  const minute = 60e6;
  const end = Date.now() * 1000;
  let place = 7;
  /** The same every time. */
  const next = (below) => (place = (place * 48_271) % 2_147_483_647) % below;
  /** How busy it was then, from 0 to 1: a day has a night. */
  const busy = (ago) => 0.2 + 0.4 * (1 + Math.cos((2 * Math.PI * (ago / minute / 60 - 1)) / 24));
  const sql = ["BEGIN;"];
  const line = (user, from, to, at, reason) => sql.push(`INSERT INTO transitions (user_id, from_status, to_status, at, last_seen, reason) VALUES ('${user}', '${from}', '${to}', ${at}, ${at}, '${reason}');`);
  /** What somebody did before `at`, back from there. */
  const past = (user, at, length) => {
    while (at > end - length) {
      at -= Math.round(((40 + next(160)) / busy(end - at)) * minute);
      const from = at - (20 + next(150)) * minute;
      const middle = from + Math.round((at - from) * (0.3 + next(50) / 100));
      line(user, "offline", "online", from, "evidence");
      if (next(2)) line(user, "online", "away", middle, "activity");
      const last = sql[sql.length - 1].includes("'away'") ? "away" : "online";
      line(user, last, "offline", at, next(3) ? "logout" : "expired");
      at = from;
    }
  };
  for (let n = 0; n < CROWD; n++) {
    const since = end - (2 + next(200)) * minute;
    if (n < THERE) sql.push(`UPDATE transitions SET at = ${since}, last_seen = ${since} WHERE user_id = 'shop-${n}';`, `UPDATE presence SET since = ${since} WHERE user_id = 'shop-${n}';`);
    past(`shop-${n}`, n < THERE ? since : end - next(300) * minute, 2 * 86_400e6);
  }
  for (let user = 2; user <= PEOPLE.length + 1; user++) {
    const moved = (60 + next(90)) * minute;
    sql.push(`UPDATE transitions SET at = at - ${moved}, last_seen = last_seen - ${moved} WHERE user_id = '${user}';`);
    sql.push(`UPDATE presence SET since = since - ${moved} WHERE user_id = '${user}';`);
    sql.push(`UPDATE users SET created_at = created_at - ${(PEOPLE.length + 2 - user) * 9 * 1440 * minute} WHERE id = ${user};`);
    past(String(user), end - moved, 7 * 86_400e6);
  }
  server.sql([...sql, "COMMIT;"].join("\n"));
  await server.run();
}

const PAGES = () => ({ overview: "#/overview", users: "#/users", user: `#/users/${somebody}`, keys: "#/keys", audit: "#/audit" });
const READY = { overview: "figure svg", users: "tr[data-user]", user: ".because", keys: "h1", audit: "tbody tr" };

async function visit(name) {
  await panel.go(PAGES()[name]);
  await panel.page.locator(READY[name]).first().waitFor();
}

async function axe(what) {
  // The checker is put in as the browser's own tools are: the policy of the page stands.
  await panel.page.evaluate(AXE);
  const violations = await panel.page.evaluate(async () => {
    const found = await /** @type {any} */ (window).axe.run(document, { resultTypes: ["violations"] });
    return found.violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => `${node.target} ${node.failureSummary}`).slice(0, 3) }));
  });
  assert.deepEqual(violations.filter(({ impact }) => impact === "serious" || impact === "critical"), [], what);
}

for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  test(`axe finds nothing serious on any page (${colorScheme})`, async () => {
    await panel.renew({ colorScheme });
    await panel.page.goto(`${server.base}/admin`);
    await panel.page.getByLabel("Username").waitFor();
    await axe("the sign-in");
    await panel.picture(`signin-${colorScheme}`);
    await panel.signIn();
    for (const name of Object.keys(PAGES())) {
      await visit(name);
      await axe(name);
    }
    await visit("user");
    await panel.page.getByRole("button", { name: "Set status…" }).click();
    await panel.page.getByRole("dialog").waitFor();
    await axe("a dialog");
    await panel.picture(`dialog-${colorScheme}`);
    await panel.page.keyboard.press("Escape");
    await panel.page.goto(`${server.base}/admin/troubleshooting`);
    await axe("the guide");
    await panel.picture(`guide-${colorScheme}`);
  });

  test(`pictures of every page (${colorScheme})`, async () => {
    await panel.renew({ colorScheme });
    await panel.signIn();
    for (const name of Object.keys(PAGES())) {
      await visit(name);
      if (name === "users" || name === "user") await panel.live();
      if (name === "overview") {
        await panel.page.getByRole("button", { name: "Last day" }).click();
        await panel.page.getByRole("img", { name: /over the last day/ }).waitFor();
      }
      await panel.picture(`${name}-${colorScheme}`);
      if (process.env.README_PICTURES && OF_README[name] === colorScheme) copyFileSync(join(PICTURES, `${name}-${colorScheme}.png`), join(IMAGES, `panel-${name}.png`));
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
    await panel.page.setViewportSize({ width: 320, height: 700 });
    const wider = await panel.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wider, 0, `${name} scrolls sideways by ${wider} px on a small phone`);
    await panel.page.setViewportSize({ width: 390, height: 844 });
    await axe(`${name} on a phone`);
    await panel.picture(`${name}-phone`);
  }
  await panel.page.goto(`${server.base}/admin/troubleshooting`);
  await axe("the guide on a phone");
  await panel.picture("guide-phone");
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
  const idle = Math.ceil(THERE / 6);
  // Seven of the people are there, two of them idle, and the boss.
  await until("online", 5_000, async () => (await tile("Online now").textContent()) === String(THERE - idle + 5 + 1));
  assert.equal(await tile("Away now").textContent(), String(idle + 2));
  await panel.page.locator("figure svg path.line.online").waitFor();
  await panel.page.getByRole("button", { name: "Last day" }).click();
  const day = panel.page.getByRole("img", { name: /over the last day/ });
  await day.waitFor();
  // The history says that there was a night: the line is no flat one.
  const words = (await day.getAttribute("aria-label")) ?? "";
  const [most, least] = [/Most online: (\d+)/, /least: (\d+)/].map((pattern) => Number(pattern.exec(words)?.[1]));
  assert.ok(least > 0 && least * 2 < most && most <= CROWD, words);
});
