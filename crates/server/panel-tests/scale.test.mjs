// The open table with a hundred thousand users: still right to the second, without a reload.

import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { Server, until } from "../../../sdk/js/test/browser/harness.js";
import { Panel } from "./panel.mjs";

const USERS = 100_000;
/** A debug build lists more of them no more than every two seconds. */
const LIVE = 20_000;
const AT_ONCE = 10_000;
/** Of the user with number 1 in `member-1`. */
const FIRST_ID = 1_000;

/** @type {Server} */
let server;
/** @type {Panel} */
let panel;
/** @type {string} */
let key;

before(async () => {
  server = await Server.start(["--inactivity-timeout", "3600s"]);
  key = server.key();
  await server.kill();
  const now = Date.now() * 1000;
  server.sql(`INSERT INTO users (id, username, username_key, email, password_hash, first_name, last_name, bio, role, status, is_active, is_staff, email_verified, is_approved, created_at, updated_at, search_key)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${USERS})
    SELECT ${FIRST_ID} + i, 'member-' || i, 'member-' || i, '', '!', '', '', '', 'user', 'active', 1, 0, 0, 1, ${now} - i * 1000, ${now}, 'member-' || i || char(10) || char(10) || char(10) FROM n;`);
  await server.run();
  for (let first = 1; first <= LIVE; first += AT_ONCE) await touch(Array.from({ length: AT_ONCE }, (_, n) => first + n));
});
after(() => server.stop());
beforeEach(async () => {
  panel = await Panel.open(server);
});
afterEach(() => panel.close());

const touch = (numbers, activity = "active") => server.touch(key, numbers.map((number) => ({ user_id: String(FIRST_ID + number), activity })));
const names = () => panel.page.locator("tr[data-user] th a").allTextContents();

test("who is on the page changes within two seconds, and the page stays", async () => {
  await panel.signIn("boss", "#/users?ordering=username&page=700&per_page=100");
  await panel.live();
  const shown = await names();
  assert.equal(shown.length, 100);
  const numbers = shown.slice(0, 3).map((name) => Number(name.split("-")[1]));
  for (const number of numbers) {
    await touch([number], "idle");
    await panel.shows(FIRST_ID + number, "away");
    await touch([number], "active");
    await panel.shows(FIRST_ID + number, "online");
  }
  assert.deepEqual(await names(), shown);
});

test("who comes into a filter and who leaves it shows within two seconds", async () => {
  await panel.signIn("boss", "#/users?online_status=away&ordering=username");
  await panel.live();
  await touch([5, 77_777], "idle");
  await until("both are away", 2_000, async () => (await names()).join() === "member-5,member-77777");
  await touch([5], "active");
  await until("one is back", 2_000, async () => (await names()).join() === "member-77777");
  await touch([77_777], "active");
  await until("nobody is away", 2_000, async () => (await names()).length === 0);
});

test("a search among all of them answers as one types", async () => {
  await panel.signIn("boss", "#/users");
  await panel.live();
  await panel.page.getByText(/of 100,00\d/).waitFor();
  await panel.page.getByLabel("Search names and e-mail").fill("member-99999");
  await until("the one that is meant", 2_000, async () => (await names()).join() === "member-99999");
});
