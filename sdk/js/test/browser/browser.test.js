import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { PASSWORD, sleep, until } from "./harness.js";
import { World } from "./site.js";

/** @type {World} */
let world;
const contexts = [];

before(async () => {
  world = await World.start();
});
after(() => world?.stop());
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
  assert.deepEqual(world.complaints.splice(0), [], "the console is silent, and nobody else is asked for anything");
});

async function window() {
  const context = await world.window();
  contexts.push(context);
  return context;
}

const told = (page) => page.evaluate(() => window.told);

test("two tabs are one connection, and closing one keeps the user online", async () => {
  const ada = await world.user("ada1");
  const context = await window();
  const first = await world.tab(context, ada);
  const second = await world.tab(context, ada);
  const third = await world.tab(context, ada);
  await sleep(500);
  assert.equal(await world.streams(), 1);
  // The one that leads, then another one.
  await first.close();
  await until("the next one leads", 10_000, async () => (await world.streams()) === 1);
  await sleep(7_000); // longer than the grace and than the login's own session
  await third.close();
  await sleep(1_000);
  assert.equal(await world.status(ada.id), "online");
  assert.equal(await world.streams(), 1);
  assert.deepEqual(await world.history(ada.id), ["online"], "nobody saw anything");
  const dot = await second.$eval("presence-dot", (dot) => [dot.getAttribute("status"), dot.getAttribute("aria-label"), dot.getAttribute("role")]);
  assert.deepEqual(dot, ["online", "online", "img"]);
});

test("closing the last tab makes the user offline at once", async () => {
  const ada = await world.user("ada2");
  const context = await window();
  const first = await world.tab(context, ada);
  const second = await world.tab(context, ada);
  await first.close();
  await sleep(500);
  assert.equal(await world.status(ada.id), "online");
  await second.close({ runBeforeUnload: true });
  await until("offline", 4_000, async () => (await world.status(ada.id)) === "offline");
});

test("a change reaches every tab", async () => {
  const ada = await world.user("ada3");
  const eve = await world.user("eve3");
  const context = await window();
  const pages = [await world.tab(context, ada, { watch: eve.id }), await world.tab(context, ada, { watch: eve.id })];
  const other = await window();
  const theirs = await world.tab(other, eve);
  await theirs.evaluate(() => window.presence.setActivity("idle"));
  // Her login's own session is active for some seconds more.
  for (const page of pages) await page.waitForFunction((id) => window.told.at(-1) === `${id} away`, eve.id, { timeout: 10_000 });
  await theirs.evaluate(() => window.presence.close());
  for (const page of pages) {
    await page.waitForFunction((id) => window.told.at(-1) === `${id} offline`, eve.id, { timeout: 4_000 });
    assert.deepEqual(await told(page), [`${eve.id} online`, `${eve.id} away`, `${eve.id} offline`]);
  }
});

test("without input somebody is away, and with a key they are back", async () => {
  const ada = await world.user("ada4");
  const page = await world.tab(await window(), ada, { idle: "1500" });
  await until("away", 12_000, async () => (await world.status(ada.id)) === "away");
  await page.keyboard.press("a");
  await until("online", 4_000, async () => (await world.status(ada.id)) === "online");
});

test("going to another page of the site and back is not seen", async () => {
  const ada = await world.user("ada5");
  const page = await world.tab(await window(), ada);
  await sleep(6_500);
  await page.click("a");
  await page.waitForURL("**/other");
  await sleep(1_500);
  // Out of the cache of pages that were left, as it was.
  await page.goBack({ waitUntil: "commit" });
  await until("it is connected again", 10_000, async () => (await world.streams()) === 1);
  assert.equal(await world.status(ada.id), "online");
  await page.reload();
  await world.connected(page);
  await until("one connection", 10_000, async () => (await world.streams()) === 1);
  assert.deepEqual(await world.history(ada.id), ["online"]);
});

test("a killed server and its return heal by themselves", async () => {
  const ada = await world.user("ada6");
  const eve = await world.user("eve6");
  const context = await window();
  const first = await world.tab(context, ada, { watch: eve.id });
  const second = await world.tab(context, ada, { watch: eve.id });
  await sleep(1_500);
  await world.server.kill();
  await sleep(1_000);
  await world.server.run();
  await until("it is back", 15_000, async () => (await world.streams()) === 1);
  await until("ada is online", 10_000, async () => (await world.status(ada.id)) === "online");
  // A browser itself says that it could not reach a server.
  world.complaints = world.complaints.filter((text) => !/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|closed before/.test(text));
  await world.login("eve6");
  for (const page of [first, second]) await page.waitForFunction((id) => window.told.at(-1) === `${id} online`, eve.id, { timeout: 5_000 });
  assert.deepEqual(await world.history(ada.id), ["online"], "and nobody was seen to leave");
});

test("a leader that crashes is followed by another tab, and nothing is lost", async () => {
  const ada = await world.user("ada10");
  const eve = await world.user("eve10");
  const context = await window();
  const leader = await world.tab(context, ada, { watch: eve.id });
  const next = await world.tab(context, ada, { watch: eve.id });
  await sleep(6_500); // eve's login has run out
  const devtools = await context.newCDPSession(leader);
  devtools.send("Page.crash").catch(() => {});
  const theirs = await world.tab(await window(), eve);
  await next.waitForFunction((id) => window.told.at(-1) === `${id} online`, eve.id);
  assert.deepEqual(await told(next), [`${eve.id} online`, `${eve.id} offline`, `${eve.id} online`]);
  await until("one connection for each", 10_000, async () => (await world.streams()) === 2);
  assert.deepEqual(await world.history(ada.id), ["online"], "nobody saw ada leave");
  await theirs.close();
});

test("a tab that the browser froze stays online, and hears what it missed", async () => {
  const ada = await world.user("ada11");
  const eve = await world.user("eve11");
  const context = await window();
  const page = await world.tab(context, ada, { watch: eve.id });
  const devtools = await context.newCDPSession(page);
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  await sleep(8_000); // longer than the time after which silence is the end
  assert.equal(await world.status(ada.id), "online");
  await devtools.send("Page.setWebLifecycleState", { state: "active" });
  await page.waitForFunction((id) => window.told.at(-1) === `${id} offline`, eve.id, { timeout: 5_000 });
  assert.deepEqual(await told(page), [`${eve.id} online`, `${eve.id} offline`]);
  assert.deepEqual(await world.history(ada.id), ["online"]);
});

test("a server that answers nothing for a while heals by itself, and no change is lost or repeated", async () => {
  const ada = await world.user("ada12");
  const eve = await world.user("eve12");
  const context = await window();
  const page = await world.tab(context, ada, { watch: eve.id });
  await world.server.freeze();
  await sleep(4_000);
  await world.server.thaw();
  await until("the socket is there", 10_000, async () => (await world.streams()) === 1);
  const theirs = await world.tab(await window(), eve);
  await theirs.evaluate(() => window.presence.setActivity("idle"));
  await page.waitForFunction((id) => window.told.at(-1) === `${id} away`, eve.id, { timeout: 5_000 });
  const seen = await told(page);
  assert.ok(seen.every((change, i) => change !== seen[i - 1]), `${seen}`);
  assert.deepEqual(await world.history(ada.id), ["online"]);
});

test("the React hook shows whom it is asked for, in strict mode too", async () => {
  const ada = await world.user("ada13");
  const eve = await world.user("eve13");
  const page = await world.tab(await window(), ada, { path: "/react", watch: `${world.bob.id},${eve.id}` });
  const theirs = await world.tab(await window(), eve);
  const shows = (text) => page.waitForFunction((text) => document.querySelector("p")?.textContent === text, text, { timeout: 8_000 });
  await shows(`${world.bob.id} online, ${eve.id} online`);
  await theirs.evaluate(() => window.presence.close());
  await shows(`${world.bob.id} online, ${eve.id} offline`);
  await page.evaluate((id) => window.setIds([id]), eve.id);
  await shows(`${eve.id} offline`);
  await page.evaluate((id) => window.setIds(id), world.bob.id);
  await shows(`${world.bob.id} online`);
});

test("where sockets are blocked it is an event stream, and the last tab's goodbye holds too", async () => {
  const ada = await world.user("ada7");
  const eve = await world.user("eve7");
  const context = await window();
  await context.addInitScript(() => {
    window.WebSocket = /** @type {any} */ (function () {
      const socket = { readyState: 0, close() {} };
      setTimeout(() => socket.onclose?.({ code: 1006 }));
      return socket;
    });
  });
  const page = await world.tab(context, ada, { watch: eve.id });
  assert.equal(await world.streams(), 1);
  const theirs = await world.tab(await window(), eve);
  await theirs.evaluate(() => window.presence.close());
  await page.waitForFunction((id) => window.told.at(-1) === `${id} offline`, eve.id, { timeout: 4_000 });
  await page.close({ runBeforeUnload: true });
  await until("offline", 4_000, async () => (await world.status(ada.id)) === "offline");
});

test("where nothing is pushed it asks", async () => {
  const ada = await world.user("ada8");
  const context = await window();
  await context.addInitScript(() => {
    window.WebSocket = /** @type {any} */ (function () {
      const socket = { readyState: 0, close() {} };
      setTimeout(() => socket.onclose?.({ code: 1006 }));
      return socket;
    });
    window.EventSource = /** @type {any} */ (function () {
      const events = { addEventListener() {}, close() {} };
      setTimeout(() => events.onerror?.());
      return events;
    });
  });
  const page = await world.tab(context, ada);
  assert.equal(await world.streams(), 0);
  assert.deepEqual(await told(page), [`${world.bob.id} online`]);
});

test("who was signed out everywhere stops in all tabs", async () => {
  const ada = await world.user("ada9");
  const context = await window();
  const pages = [await world.tab(context, ada), await world.tab(context, ada)];
  await sleep(300);
  await fetch(`${world.url}/api/auth/logout-all/`, { method: "POST", headers: { Authorization: `Bearer ${ada.access}` } });
  for (const page of pages) {
    await page.waitForFunction(() => window.stopped.length, null, { timeout: 3_000 });
    assert.deepEqual(await page.evaluate(() => window.stopped), [4101]);
  }
});

test("the example: two windows, two users, dots that turn", async () => {
  const people = [];
  for (const user of [await world.user("chat-ada"), await world.user("chat-eve")]) {
    // Two windows of one browser: they share its locks, not its user.
    const context = people[0]?.page.context() ?? (await window());
    const page = await context.newPage();
    await page.goto(`${world.origin}/chat?server=${encodeURIComponent(world.url)}`);
    await page.fill("[name=username]", user.name);
    await page.fill("[name=password]", PASSWORD);
    await page.click("text=Sign in");
    await page.waitForSelector("main:not([hidden])");
    people.push({ user, page });
  }
  const [ada, eve] = people;
  await ada.page.waitForSelector(`presence-dot[user="${eve.user.id}"][status=online]`);
  await eve.page.waitForSelector(`presence-dot[user="${ada.user.id}"][status=online]`);
  await eve.page.fill("[name=text]", "hello");
  await eve.page.press("[name=text]", "Enter");
  await ada.page.waitForSelector("text=chat-eve: hello");
  // She signed in twice, in the test and in the window; the first of them is over after a while.
  await sleep(6_500);
  await eve.page.close({ runBeforeUnload: true });
  await ada.page.waitForSelector(`presence-dot[user="${eve.user.id}"][status=offline]`, { timeout: 4_000 });
});
