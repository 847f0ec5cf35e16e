// Signing in and out, and everything that an admin can do.

import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { PASSWORD, Server, until } from "../../../sdk/js/test/browser/harness.js";
import { Panel } from "./panel.mjs";

/** @type {Server} */
let server;
/** @type {Panel} */
let panel;

before(async () => {
  server = await Server.start();
});
after(() => server.stop());
beforeEach(async () => {
  panel = await Panel.open(server);
});
afterEach(() => panel.close());

const press = (name) => panel.page.getByRole("button", { name, exact: true }).click();
/** The answer of the open dialog. */
const yes = (name) => panel.page.getByRole("dialog").getByRole("button", { name, exact: true }).click();

async function fill(username, password) {
  await panel.page.getByLabel("Username").fill(username);
  await panel.page.getByLabel("Password").fill(password);
  await press("Sign in");
}

test("only an admin with the right password gets in, and no script can read the token", async () => {
  server.user("plain");
  await panel.page.goto(`${server.base}/admin`);
  await panel.page.getByLabel("Username").waitFor();
  assert.deepEqual(panel.faults, [], "whoever is not signed in is no error");
  panel.expected = /40[13]/;
  await fill("boss", "a wrong password");
  await until("the refusal", 5_000, async () => ((await panel.page.locator(".refusal").textContent()) ?? "") !== "");
  await fill("plain", PASSWORD);
  await panel.page.getByText("The panel is for administrators only.").waitFor();
  assert.deepEqual(await panel.context.cookies(), [], "who is refused gets no cookie");

  await fill("boss", PASSWORD);
  await panel.page.getByRole("navigation", { name: "Pages", exact: true }).waitFor();
  panel.expected = undefined;
  const cookies = await panel.context.cookies(`${server.base}/admin/session`);
  assert.deepEqual(cookies.map(({ name }) => name).sort(), ["presently_refresh", "presently_session"]);
  for (const cookie of cookies) assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", cookie.name);
  assert.equal(await panel.page.evaluate(() => document.cookie), "");
  assert.equal(await panel.page.evaluate(() => localStorage.length + sessionStorage.length), 0);
  await panel.page.reload();
  await panel.page.getByRole("heading", { name: "Overview" }).waitFor();
});

test("signing out ends the session, in every tab", async () => {
  await panel.signIn();
  const [session] = (await panel.context.cookies()).filter(({ name }) => name === "presently_session");
  const other = await panel.context.newPage();
  await other.goto(`${server.base}/admin#/users`);
  await other.getByRole("heading", { name: "Users" }).waitFor();
  panel.expected = /401/;
  await press("Sign out");
  await other.getByText("Your session is over. Sign in again.").waitFor({ timeout: 15_000 });
  await panel.page.getByRole("button", { name: "Sign in" }).waitFor();
  assert.deepEqual(await panel.context.cookies(), []);
  const answer = await fetch(`${server.base}/api/users/profile/`, { headers: { Authorization: `Bearer ${session.value}` } });
  assert.equal(answer.status, 401, "the token is dead");
});

test("an open panel outlives its access token", async () => {
  const short = await Server.start(["--access-token-lifetime", "3s"]);
  await panel.close();
  panel = await Panel.open(short);
  await panel.signIn("boss", "#/users");
  await panel.live();
  // Where the machine stalls for longer than the margin, a request meets the end of its token. It is repeated with the next one,
  // and all that shows is that the browser has written the answer down.
  panel.expected = /401/;
  const other = await panel.context.newPage();
  await other.goto(`${short.base}/admin#/overview`);
  // Two tabs over three lifetimes: neither asks with a token that is over, nor for new ones at the same time.
  await new Promise((later) => setTimeout(later, 10_000));
  assert.equal(await other.getByRole("heading", { name: "Overview" }).count(), 1);
  const fresh = await short.login("boss");
  await short.call("POST", "/api/users/admin/users/", { token: fresh.token, body: { username: "late", password: PASSWORD } });
  await panel.page.getByLabel("Search names and e-mail").fill("late");
  await panel.page.getByRole("link", { name: "late" }).waitFor({ timeout: 10_000 });
  assert.equal(await panel.page.getByRole("heading", { name: "Users" }).count(), 1, "nobody had to sign in again");
  await panel.close();
  await short.stop();
  panel = await Panel.open(server);
});

test("a user is created, and what is wrong is said beside the field", async () => {
  await panel.signIn("boss", "#/users");
  await press("New user");
  const dialog = panel.page.getByRole("dialog");
  await dialog.getByLabel("Username").fill("boss");
  await dialog.getByLabel("Password").fill(PASSWORD);
  panel.expected = /400/;
  await yes("Create");
  await until("the field's error", 5_000, async () => ((await dialog.locator("#field-1-username-error").textContent()) ?? "") !== "");
  panel.expected = undefined;
  await dialog.getByLabel("Username").fill("newcomer");
  await yes("Create");
  await panel.page.getByRole("link", { name: "newcomer" }).waitFor();
});

test("every act is asked about first, and shows at once", async () => {
  const made = await server.make("victim");
  const victim = await server.login("victim");
  await panel.signIn("boss", `#/users/${made.id}`);
  await panel.live();
  const status = panel.page.locator(".title .dot").first();
  const shows = (word) => until(`${word}`, 3_000, async () => (await status.textContent()) === word);
  const about = panel.page.locator(".about");
  const says = (words) => until(words, 3_000, async () => ((await about.textContent()) ?? "").includes(words));
  await shows("online");

  await press("Set status…");
  await panel.page.keyboard.press("Escape");
  assert.equal(await panel.page.getByRole("dialog").count(), 0, "Escape leaves");
  await shows("online");
  await press("Set status…");
  await panel.page.getByRole("dialog").getByLabel("Status").selectOption("away");
  await yes("Set status");
  await shows("away");
  await panel.page.getByText(/Overridden to away by the admin/).waitFor();
  await press("Set status…");
  await panel.page.getByRole("dialog").getByLabel("Status").selectOption("");
  await yes("Set status");
  await shows("online");

  await press("Change role…");
  await panel.page.getByRole("dialog").getByLabel("Role").selectOption("moderator");
  await yes("Change role");
  await says("moderator");

  await press("Force logout…");
  await yes("Log out everywhere");
  await shows("offline");
  await assert.rejects(victim.beat(), /401/, "the token is dead");

  await server.login("victim");
  await shows("online");
  await press("Suspend…");
  await panel.page.getByRole("dialog").getByLabel(/Reason/).fill("too loud");
  await yes("Suspend");
  await says("account suspended");
  await panel.page.getByText("Offline: the account is suspended and may not be present.").waitFor();
  await shows("offline");
  await panel.page.getByText("Barred:").waitFor();
  await press("Activate…");
  await yes("Activate");
  await says("account active");
  await press("Ban…");
  await yes("Ban");
  await says("account banned");
  await press("Delete…");
  await yes("Delete for good");
  await panel.page.getByRole("heading", { name: "Users" }).waitFor();
  await panel.page.locator(`tr[data-user="${made.id}"]`).waitFor({ state: "detached" });
});

test("a user who is gone is said to be gone, and the way back leads to the table as it was", async () => {
  const made = await server.make("leaver");
  await panel.signIn("boss", "#/users?search=leaver");
  await panel.page.getByRole("link", { name: "leaver" }).click();
  await panel.page.getByRole("heading", { name: "leaver" }).waitFor();
  await panel.live();
  await server.call("DELETE", `/api/users/admin/users/${made.id}/`, { token: server.boss.token });
  panel.expected = /404/;
  await panel.page.reload();
  await panel.page.getByRole("heading", { name: "There is no such user" }).waitFor();
  await panel.go("#/users?search=leaver");
  await panel.page.getByText("Nobody matches.").waitFor();
  await panel.go("#/users/1");
  await panel.page.getByRole("link", { name: "← Users" }).click();
  await panel.page.getByText("Nobody matches.").waitFor();
});

test("a pending account is approved", async () => {
  const made = await server.make("waiting", { status: "pending" });
  await panel.signIn("boss", `#/users/${made.id}`);
  await press("Approve…");
  await yes("Approve");
  await until("active", 3_000, async () => ((await panel.page.locator(".about").textContent()) ?? "").includes("account active"));
});

test("the audit log says who did what to whom", async () => {
  const made = await server.make("audited");
  await server.call("POST", `/api/users/admin/users/${made.id}/suspend/`, { token: server.boss.token, body: { reason: "a reason to remember" } });
  await panel.signIn("boss", "#/audit");
  const line = panel.page.locator("tr", { hasText: "a reason to remember" });
  await line.waitFor();
  const text = await line.textContent();
  for (const word of ["boss", "suspend", "audited"]) assert.ok(text?.includes(word), `${word} in ${text}`);
});

test("a key is shown once, works, and is revoked", async () => {
  await panel.signIn("boss", "#/keys");
  await press("New key");
  await panel.page.getByLabel("What is it for?").fill("shop");
  await yes("Create");
  const shown = panel.page.getByRole("dialog").locator("input.key");
  await shown.waitFor();
  const key = await shown.inputValue();
  const count = () => fetch(`${server.base}/api/presence/count`, { headers: { "X-API-Key": key } });
  assert.equal((await count()).status, 200);
  await yes("Done");
  assert.ok(!(await panel.page.content()).includes(key), "the key is not on the page any more");
  await panel.page.getByRole("button", { name: /Revoke/ }).click();
  await panel.page.getByRole("dialog").getByRole("button", { name: /Revoke/ }).click();
  await until("the key is dead", 3_000, async () => (await count()).status === 401);
});

test("whatever a user is called stays text", async () => {
  const name = '<img src=x onerror="alert(1)">';
  const made = await server.make("tricky", { first_name: name, last_name: "</script><script>alert(2)</script>" });
  panel.page.on("dialog", () => panel.faults.push("a script ran"));
  await panel.signIn("boss", "#/users?search=tricky");
  await panel.page.getByText(name).first().waitFor();
  await panel.go(`#/users/${made.id}`);
  await panel.page.getByText(name).first().waitFor();
  assert.equal(await panel.page.locator("main img[src=x]").count(), 0);
});
