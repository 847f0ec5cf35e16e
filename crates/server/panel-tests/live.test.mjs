// What the open table and the open page of a user show as it happens.

import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { Server, until } from "../../../sdk/js/test/browser/harness.js";
import { Panel } from "./panel.mjs";

/** @type {Server} */
let server;
/** @type {Panel} */
let panel;

before(async () => {
  server = await Server.start(["--inactivity-timeout", "4s", "--heartbeat-interval", "1s"]);
});
after(() => server.stop());
beforeEach(async () => {
  panel = await Panel.open(server);
});
afterEach(() => panel.close());

test("a login, idleness, a logout and silence show in the open table within two seconds", async () => {
  server.user("alice");
  server.user("bob");
  await panel.signIn("boss", "#/users");
  await panel.live();
  const alice = await server.login("alice");
  await panel.shows(alice.id, "online");
  await alice.beat({ activity: "idle" });
  await panel.shows(alice.id, "away");
  await alice.beat({ activity: "active" });
  await panel.shows(alice.id, "online");
  await alice.logout();
  await panel.shows(alice.id, "offline");

  const bob = await server.login("bob");
  await panel.shows(bob.id, "online");
  // Four seconds of silence, and then the two that are promised.
  await panel.shows(bob.id, "offline", 6_000);
  const seen = panel.page.locator(`tr[data-user="${bob.id}"] time.ago`);
  assert.match(await seen.first().textContent(), /(just now|\d+ s ago)/);
  assert.match(await seen.first().getAttribute("title"), /\d{4}/, "the exact time is on hover");
});

test("two sessions of one user: the first that ends changes nothing", async () => {
  server.user("carol");
  await panel.signIn("boss", "#/users");
  await panel.live();
  const tab = await server.login("carol");
  const phone = await server.login("carol");
  await panel.shows(tab.id, "online");
  await tab.logout();
  await phone.beat();
  assert.equal(await panel.status(tab.id), "online");
  await phone.logout();
  await panel.shows(tab.id, "offline");
});

test("filters, orders and pages hold while statuses change", async () => {
  for (let n = 1; n <= 30; n++) await server.make(`crew-${String(n).padStart(2, "0")}`);
  await panel.signIn("boss", "#/users?search=crew&ordering=username&per_page=25");
  await panel.live();
  const names = () => panel.page.locator("tr[data-user] th a").allTextContents();
  await until("a full page", 5_000, async () => (await names()).length === 25);
  const first = await names();
  assert.deepEqual(first, [...first].sort());
  await panel.page.getByRole("button", { name: "Next" }).click();
  await until("the second page", 5_000, async () => (await names()).join() === "crew-26,crew-27,crew-28,crew-29,crew-30");

  const last = await server.login("crew-30");
  await panel.shows(last.id, "online");
  assert.deepEqual(await names(), ["crew-26", "crew-27", "crew-28", "crew-29", "crew-30"], "the page stays");
  assert.match(panel.page.url(), /page=2/);

  await panel.page.getByLabel("Status", { exact: true }).selectOption("online");
  await until("only who is online", 5_000, async () => (await names()).join() === "crew-30");
  assert.equal(await panel.page.getByLabel("Search names and e-mail").inputValue(), "crew", "the search stays");
  const second = await server.login("crew-07");
  await until("who comes appears", 3_000, async () => (await names()).join() === "crew-07,crew-30");
  await last.logout();
  await until("who goes disappears", 3_000, async () => (await names()).join() === "crew-07");
  assert.equal(await panel.page.getByLabel("Status", { exact: true }).inputValue(), "online", "the filter stays");
  await second.logout();
  await panel.page.getByText("Nobody matches.").waitFor();
  await panel.page.reload();
  await panel.page.getByText("Nobody matches.").waitFor();
  assert.equal(await panel.page.getByLabel("Status", { exact: true }).inputValue(), "online", "the address keeps what was asked");
});

test("a killed server and its return heal by themselves", async () => {
  server.user("dave");
  await panel.signIn("boss", "#/users");
  await panel.live();
  const dave = await server.login("dave");
  await panel.shows(dave.id, "online");
  panel.away = true;
  await server.kill();
  await panel.page.getByText("Not live").waitFor({ timeout: 10_000 });
  await server.run();
  await panel.page.locator(".push.live").waitFor({ timeout: 20_000 });
  panel.away = false;
  // The table is there without a reload and without signing in again, and hears of what comes.
  const back = await server.login("dave");
  await panel.shows(back.id, "online");
  await back.logout();
  await panel.shows(back.id, "offline", 6_000);
  assert.equal(await panel.page.getByRole("heading", { name: "Users" }).count(), 1);
});

test("where push is cut the table says so, and asks every ten seconds", async () => {
  server.user("erin");
  await panel.page.route("**/api/presence/events*", (route) => route.abort());
  panel.expected = /ERR_FAILED/;
  await panel.signIn("boss", "#/users");
  await panel.page.getByText("Not live: push is cut. Refreshing every 10 seconds.").waitFor();
  const erin = await server.login("erin");
  const beats = setInterval(() => erin.beat().catch(() => {}), 1_000);
  try {
    await panel.shows(erin.id, "online", 12_000);
  } finally {
    clearInterval(beats);
  }
});

test("the page of a user follows them too, and says why", async () => {
  server.user("frank");
  const frank = await server.login("frank");
  await panel.signIn("boss", `#/users/${frank.id}`);
  await panel.live();
  const status = panel.page.locator(".title .dot").first();
  await frank.beat({ activity: "idle" });
  await until("away", 2_000, async () => (await status.textContent()) === "away");
  await until("a session is told", 3_000, async () => (await panel.page.locator("section", { hasText: "Sessions" }).locator("tbody tr").count()) === 1);
  await frank.logout();
  await until("offline", 2_000, async () => (await status.textContent()) === "offline");
  await panel.page.getByText("No session is live.", { exact: true }).waitFor({ timeout: 3_000 });
  await until("the transitions are listed", 3_000, async () => (await panel.page.getByText("signed out").count()) > 0);
});
