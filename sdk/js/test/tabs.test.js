import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../src/index.js";
import { Browser, Clock, presence, settle, tab } from "./world.js";

const jwt = (user) => `h.${btoa(JSON.stringify({ user_id: user }))}.s`;

function browser() {
  const clock = new Clock();
  const shared = new Browser();
  return {
    clock,
    async opens(options = {}) {
      const world = tab(clock, shared);
      world.told = [];
      world.stopped = [];
      world.presence = connect({ url: "https://presence.example", token: jwt(4), env: world.env, onStop: (code) => world.stopped.push(code), ...options });
      world.watch = (...users) =>
        world.presence.watch(users, (changes) => world.told.push(...changes.map(({ user_id, status }) => `${user_id} ${status}`)));
      await settle();
      return world;
    },
  };
}

const snapshot = (seq, ...presences) => ({ type: "snapshot", epoch: "e", seq, presences });
const diff = (seq, ...presences) => ({ type: "diff", seq, presences });

test("two tabs are one connection, and both are told", async () => {
  const { opens } = browser();
  const one = await opens();
  one.watch(1);
  await settle();
  await one.socket.ready();
  await one.socket.says(snapshot(1, presence("1")));
  const two = await opens();
  two.watch("1", "2");
  await settle();
  assert.deepEqual(one.socket.sent.at(-1), { type: "watch", users: ["2"] });
  await one.socket.says(snapshot(2, presence("2", "away")));
  await one.socket.says(diff(3, presence("1", "offline", 3)));
  assert.deepEqual(one.told, ["1 online", "1 offline"]);
  assert.deepEqual(two.told, ["1 online", "2 away", "1 offline"]);
  assert.deepEqual([one.sockets.length, two.sockets.length], [1, 0]);
});

test("when the leader goes the next one comes back where it was", async () => {
  const { opens } = browser();
  const one = await opens();
  one.watch("1");
  await settle();
  await one.socket.ready();
  await one.socket.says(snapshot(1, presence("1")));
  const two = await opens();
  two.watch("1");
  await settle();
  await one.socket.says(diff(7, presence("1", "away", 7)));
  await one.leaves();
  assert.equal(one.socket.closedWith, 3001, "no goodbye");
  assert.equal(one.requests.length, 0);
  await two.socket.ready();
  assert.deepEqual(two.socket.sent.at(-1), { type: "watch", users: ["1"], epoch: "e", seq: 7 });
  await two.socket.says(diff(9, presence("1", "online", 9)));
  assert.deepEqual(two.told, ["1 online", "1 away", "1 online"]);
});

test("the last tab says goodbye, and one that comes back is there again", async () => {
  const { opens } = browser();
  const one = await opens();
  const two = await opens();
  await one.socket.ready();
  await two.leaves();
  assert.equal(one.socket.closedWith, null);
  await one.leaves();
  assert.equal(one.socket.closedWith, 1000);
  assert.deepEqual(one.requests.map(({ path }) => path), ["presence/leave"]);
  await two.returns();
  assert.equal(two.sockets.length, 1);
});

test("a page that makes way for another one of the same site is no goodbye", async () => {
  const { opens, clock } = browser();
  const one = await opens();
  await one.socket.ready();
  await one.navigates("https://chat.example/other");
  await clock.pass(800);
  await one.leaves();
  assert.equal(one.socket.closedWith, 3001);
  assert.deepEqual(one.requests, []);
  const two = await opens();
  await two.socket.ready();
  await two.navigates("https://elsewhere.example/");
  await two.leaves();
  assert.equal(two.socket.closedWith, 1000);
});

test("somebody is idle when all tabs are", async () => {
  const { opens, clock } = browser();
  const one = await opens();
  await one.socket.ready();
  const two = await opens();
  await one.hide();
  await clock.pass(10_000);
  const said = () => one.socket.sent.filter(({ type }) => type === "activity").map(({ activity }) => activity);
  assert.deepEqual(said(), []);
  await two.hide();
  await clock.pass(5_000);
  assert.deepEqual(said(), ["idle"]);
  await two.hide(false);
  assert.deepEqual(said(), ["idle", "active"]);
  await two.leaves();
  assert.deepEqual(said(), ["idle", "active", "idle"], "who closed is not counted");
});

test("two users of one browser are two connections", async () => {
  const { opens } = browser();
  const one = await opens();
  const two = await opens({ token: async () => jwt(5) });
  assert.deepEqual([one.sockets.length, two.sockets.length], [1, 1]);
});

test("when the server says not to come back, all tabs know", async () => {
  const { opens, clock } = browser();
  const one = await opens();
  const two = await opens();
  await one.socket.ready();
  await one.socket.drops(4102);
  await clock.pass(600_000);
  assert.deepEqual([one.stopped, two.stopped], [[4102], [4102]]);
  assert.deepEqual([one.sockets.length, two.sockets.length], [1, 0]);
});

test("without locks each tab is alone", async () => {
  const { clock, opens } = browser();
  const shared = new Browser();
  const lonely = async () => {
    const world = tab(clock, shared);
    delete world.env.navigator.locks;
    connect({ url: "http://presence.lan", token: jwt(4), env: world.env });
    await settle();
    return world;
  };
  const one = await lonely();
  const two = await lonely();
  await one.socket.ready();
  await two.socket.ready();
  await one.leaves();
  assert.equal(one.socket.closedWith, 1000);
  assert.deepEqual(one.requests, [], "others may still be there");
  assert.ok(opens);
});

test("a watcher that comes late is told what is known, once; one that left nothing", async () => {
  const { opens } = browser();
  const one = await opens();
  const unwatch = one.watch("1");
  await settle();
  await one.socket.ready();
  await one.socket.says(snapshot(1, presence("1")));
  const late = [];
  one.presence.watch("1", (changes) => late.push(...changes));
  await settle();
  assert.equal(late.length, 1);
  unwatch();
  await one.socket.says(diff(2, presence("1", "away", 2)));
  assert.equal(late.length, 2);
  assert.deepEqual(one.told, ["1 online"]);
  assert.equal(one.presence.get(1).status, "away");
});

test("a tab that did not hear of a user is told when it watches them, though they are not asked for again", async () => {
  const { opens } = browser();
  const one = await opens();
  one.watch("1");
  await settle();
  await one.socket.ready();
  await one.socket.says(snapshot(1, presence("1")));
  const two = await opens();
  // What the leader says of a user that only a third tab wants comes before that tab's own word.
  const channel = two.browser.channel("presently https://presence.example 4 ");
  two.watch("2");
  await settle();
  await one.socket.says(snapshot(2, presence("2")));
  const asked = one.socket.sent.length;
  const said = [];
  channel.onmessage = ({ data }) => said.push(data);
  channel.postMessage({ id: "third", watch: ["1"], active: true, lacks: ["1"] });
  await settle();
  assert.deepEqual(said.filter(({ frame }) => frame).map(({ frame }) => frame), [snapshot(2, presence("1"))]);
  assert.equal(one.socket.sent.length, asked);
  assert.deepEqual(two.told, ["2 online"]);
});

test("a tab that was away comes back to what it missed", async () => {
  const { opens } = browser();
  const one = await opens();
  one.watch("1", "2");
  await settle();
  await one.socket.ready();
  await one.socket.says(snapshot(1, presence("1"), presence("2")));
  const two = await opens();
  two.watch("1", "2");
  await settle();
  await two.leaves();
  await one.socket.says(diff(2, presence("1", "away", 2)));
  await two.returns();
  await one.socket.says(diff(3, presence("2", "away", 3)));
  assert.deepEqual(two.told, ["1 online", "2 online", "1 away", "2 away"]);
  await one.leaves();
  await two.socket.ready();
  assert.deepEqual(two.socket.sent.at(-1), { type: "watch", users: ["1", "2"], epoch: "e", seq: 3 });
});

test("who comes while nobody leads is told by the next leader", async () => {
  const { opens } = browser();
  const one = await opens();
  one.watch("1");
  await settle();
  await one.socket.ready();
  await one.socket.says(snapshot(1, presence("1")));
  const two = await opens();
  two.watch("1");
  await settle();
  const said = [];
  two.browser.channel("presently https://presence.example 4 ").onmessage = ({ data }) => data.frame && said.push(data.frame);
  await one.leaves();
  assert.deepEqual(said, [snapshot(1, presence("1"))]);
});

test("a name that the server refuses spoils nothing for the others, and too many are said", async () => {
  const { opens } = browser();
  const errors = [];
  const one = await opens({ onError: (code) => errors.push(code) });
  one.watch("", "1", "x".repeat(129), "\u00fc".repeat(65));
  await settle();
  await one.socket.ready();
  assert.deepEqual(one.socket.sent.at(-1), { type: "watch", users: ["1"] });
  one.watch(...Array.from({ length: 10_001 }, (_, i) => i));
  one.watch("another");
  await settle();
  assert.deepEqual(errors, ["invalid_field", "too_many_users"]);
});

test("closed is closed", async () => {
  const { opens, clock } = browser();
  const one = await opens();
  await one.socket.ready();
  one.presence.close();
  one.presence.close();
  await one.returns();
  await clock.pass(600_000);
  assert.equal(one.socket.closedWith, 1000);
  assert.equal(one.sockets.length, 1);
});
