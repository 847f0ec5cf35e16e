import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "../src/connection.js";
import { makeSync } from "../src/sync.js";
import { presence, settle, tab } from "./world.js";

async function connection({ users = ["1"], token = "secret", active = true } = {}) {
  const world = tab();
  const sync = makeSync();
  sync.want(users);
  const told = [];
  const stopped = [];
  const failed = [];
  const conn = open({
    url: "https://presence.example",
    token,
    sync,
    active,
    env: world.env,
    told: (frame) => told.push(...sync.apply(frame).map(({ user_id, status }) => `${user_id} ${status}`)),
    stopped: (code) => stopped.push(code),
    failed: (code) => failed.push(code),
  });
  await settle();
  return { world, sync, told, stopped, failed, conn, clock: world.clock };
}

const snapshot = (seq, ...presences) => ({ type: "snapshot", epoch: "e", seq, presences });
const diff = (seq, ...presences) => ({ type: "diff", seq, presences });

/** A browser whose sockets are blocked: both attempts come to nothing. */
async function withoutSockets(options) {
  const all = await connection(options);
  await all.world.socket.drops();
  await all.clock.pass(1_000);
  await all.world.socket.drops();
  return all;
}

test("it says who it is, and watches", async () => {
  const { world, told } = await connection();
  assert.equal(world.socket.url, "wss://presence.example/api/presence/ws");
  await world.socket.ready();
  assert.deepEqual(world.socket.sent, [{ type: "auth", token: "secret" }, { type: "watch", users: ["1"] }]);
  await world.socket.says(snapshot(1, presence("1")));
  await world.socket.says(diff(2, presence("1", "away", 2)));
  assert.deepEqual(told, ["1 online", "1 away"]);
});

test("it comes back where it was, and asks for whom it did not know", async () => {
  const { world, told, sync, conn, clock } = await connection();
  await world.socket.ready();
  await world.socket.says(snapshot(41, presence("1")));
  await world.socket.drops(1001);
  sync.want(["1", "2"]);
  conn.watch();
  await clock.pass(1_000);
  await world.socket.ready();
  assert.deepEqual(world.socket.sent.slice(1), [{ type: "watch", users: ["1"], epoch: "e", seq: 41 }]);
  await world.socket.says(diff(50, presence("1", "offline", 3)));
  assert.deepEqual(world.socket.sent.at(-1), { type: "watch", users: ["2"] });
  await world.socket.says(snapshot(51, presence("2")));
  assert.deepEqual(told, ["1 online", "1 offline", "2 online"]);
});

test("one question at a time", async () => {
  const { world, sync, conn } = await connection();
  await world.socket.ready();
  sync.want(["2"]);
  conn.watch();
  assert.equal(world.socket.sent.length, 2, "the answer to the first is awaited");
  await world.socket.says(snapshot(1, presence("1")));
  assert.deepEqual(world.socket.sent.slice(2), [{ type: "unwatch", users: ["1"] }, { type: "watch", users: ["2"] }]);
});

test("pauses grow, with chance in them, and a connection that held makes them short again", async () => {
  const { world, clock } = await connection();
  const tries = async (ms) => {
    const before = world.sockets.length;
    await clock.pass(ms - 1);
    assert.equal(world.sockets.length, before, `nothing before ${ms}`);
    await clock.pass(1);
    assert.equal(world.sockets.length, before + 1, `one at ${ms}`);
  };
  world.answers = {}; // nobody answers at all
  await world.socket.drops();
  await tries(1_000);
  for (const ms of [2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    await world.socket.drops();
    await tries(ms);
  }
  world.env.Math.random = () => 0;
  await world.socket.drops();
  await tries(15_000);
  await world.socket.ready();
  await clock.pass(10_001);
  await world.socket.drops(4006);
  await tries(500);
});

for (const code of [4101, 4102, 4103, 4199]) {
  test(`${code} stops`, async () => {
    const { world, stopped, clock } = await connection();
    await world.socket.ready();
    await world.socket.drops(code);
    await clock.pass(3_600_000);
    assert.deepEqual(stopped, [code]);
    assert.equal(world.sockets.length, 1);
  });
}

for (const code of [1001, 1006, 4000, 4004, 4099]) {
  test(`${code} comes back, with a token asked for anew`, async () => {
    let asked = 0;
    const { world, stopped, clock } = await connection({ token: async () => `token ${++asked}` });
    await world.socket.ready();
    await world.socket.drops(code);
    await clock.pass(1_000);
    await world.socket.opens();
    assert.deepEqual(world.socket.sent, [{ type: "auth", token: "token 2" }]);
    assert.deepEqual(stopped, []);
  });
}

test("a token that cannot be fetched is tried again, and no token is the end", async () => {
  let answer = () => Promise.reject(new Error("no network"));
  const { world, stopped, clock } = await connection({ token: () => answer() });
  await clock.pass(60_000);
  assert.deepEqual([world.sockets.length, stopped], [0, []]);
  answer = () => null;
  await clock.pass(30_000);
  assert.deepEqual([world.sockets.length, stopped], [0, [4101]]);
});

test("silence is asked about, and then given up without a goodbye", async () => {
  const { world, clock } = await connection();
  await world.socket.ready();
  await world.socket.says(snapshot(1, presence("1")));
  const first = world.socket;
  await clock.pass(30_000);
  assert.deepEqual(first.sent.at(-1), { type: "ping" });
  await first.says({ type: "pong" });
  await clock.pass(30_000);
  await clock.pass(10_000);
  assert.equal(first.closedWith, 3001);
  await clock.pass(1_000);
  assert.equal(world.sockets.length, 2);
});

test("a machine that wakes asks at once", async () => {
  const { world, clock, conn } = await connection();
  await world.socket.ready();
  await clock.sleep(8 * 3_600_000);
  assert.deepEqual(world.socket.sent.at(-1), { type: "ping" });
  await world.socket.drops();
  conn.check();
  await settle();
  assert.equal(world.sockets.length, 2, "nor does it wait when the network is back");
});

test("what it hears of an old connection is nothing to it", async () => {
  const { world, told, clock } = await connection();
  const first = world.socket;
  await clock.pass(10_000);
  assert.equal(first.readyState, 0, "the attempt took too long");
  await clock.pass(1_000);
  await first.opens();
  assert.equal(first.closedWith, 3001);
  await first.says(snapshot(1, presence("1")));
  await first.drops(4101);
  assert.deepEqual(told, []);
  await world.socket.ready();
});

test("idle is said, also after coming back", async () => {
  const { world, conn, clock } = await connection();
  await world.socket.ready();
  conn.activity(false);
  assert.deepEqual(world.socket.sent.at(-1), { type: "activity", activity: "idle" });
  await world.socket.drops();
  await clock.pass(1_000);
  await world.socket.ready();
  assert.deepEqual(world.socket.sent[1], { type: "activity", activity: "idle" });
});

test("what was refused is told, and asked again later", async () => {
  const { world, failed, told, clock } = await connection();
  await world.socket.ready();
  await world.socket.says({ type: "error", code: "store_unavailable", detail: "" });
  assert.deepEqual(failed, ["store_unavailable"]);
  await clock.pass(30_000);
  assert.equal(world.socket.sent.filter(({ type }) => type === "watch").length, 2);
  await world.socket.says(snapshot(1, presence("1")));
  assert.deepEqual(told, ["1 online"]);
});

test("where sockets are blocked it reads an event stream and sends heartbeats", async () => {
  const { world, told, clock, conn } = await withoutSockets();
  assert.equal(world.stream.url.searchParams.get("ticket"), "t");
  assert.equal(world.stream.url.searchParams.get("users"), "1");
  await world.stream.says("snapshot", "e-41", { presences: [presence("1")] });
  await world.stream.says("presence", "e-42", presence("1", "away", 2));
  assert.deepEqual(told, ["1 online", "1 away"]);
  conn.activity(false);
  await clock.pass(30_000);
  const beats = world.requests.filter(({ path }) => path === "users/heartbeat/").map(({ body }) => body.activity);
  assert.deepEqual(beats, ["active", "idle", "idle"]);
  // It comes back where it was.
  world.stream.onerror();
  await clock.pass(4_000);
  assert.equal(world.streams.length, 2);
  assert.equal(world.stream.url.searchParams.get("last_event_id"), "e-42");
  assert.equal(world.sockets.length, 2);
  // Later the better way is tried again, once.
  world.stream.onopen();
  await clock.pass(300_000);
  assert.equal(world.sockets.length, 3);
  assert.equal(world.streams[1].closed, true);
});

test("a stream that is held up makes it ask", async () => {
  const { world, told, clock } = await withoutSockets();
  await clock.pass(10_000);
  assert.equal(world.stream.closed, true);
  assert.deepEqual(told, ["1 online"]);
  world.answers["presence/query"] = () => ({ presences: [presence("1", "offline", 9)] });
  await clock.pass(15_000);
  assert.deepEqual(told, ["1 online", "1 offline"]);
});

test("a new user makes a new stream", async () => {
  const { world, sync, conn, clock } = await withoutSockets();
  sync.want(["1", "2"]);
  conn.watch();
  await world.stream.says("snapshot", "e-1", { presences: [presence("1")] });
  await clock.pass(199);
  assert.equal(world.streams.length, 1, "more may come");
  await clock.pass(1);
  assert.equal(world.streams.length, 2);
  assert.equal(world.stream.url.searchParams.get("users"), "1,2");
  assert.equal(world.stream.url.searchParams.get("last_event_id"), null);
});

test("over HTTP a refused token and a suspended account stop it", async () => {
  for (const [status, code] of [[401, 4101], [403, 4103]]) {
    const all = await connection();
    all.world.answers["users/heartbeat/"] = () => ({ status });
    await all.world.socket.drops();
    await all.clock.pass(1_000);
    await all.world.socket.drops();
    await all.clock.pass(600_000);
    assert.deepEqual(all.stopped, [code]);
  }
});

test("a user dropped and taken again while an answer is on its way is asked for anew", async () => {
  const { world, sync, conn, told } = await connection({ users: ["1", "2"] });
  await world.socket.ready();
  await world.socket.says(snapshot(1, presence("1"), presence("2")));
  const want = (...users) => (sync.want(users), conn.watch());
  want("1", "2", "3");
  want("2", "3");
  want("1", "2", "3");
  assert.deepEqual(world.socket.sent.slice(2), [{ type: "watch", users: ["3"] }, { type: "unwatch", users: ["1"] }]);
  await world.socket.says(snapshot(2, presence("3")));
  assert.deepEqual(world.socket.sent.at(-1), { type: "watch", users: ["1"] });
  await world.socket.says(snapshot(3, presence("1", "away", 3)));
  await world.socket.says(diff(4, presence("1", "offline", 4)));
  assert.deepEqual(told, ["1 online", "2 online", "3 online", "1 away", "1 offline"]);
});

test("so is one that was dropped and taken again while it came back", async () => {
  const { world, sync, conn, told, clock } = await connection({ users: ["1", "2"] });
  await world.socket.ready();
  await world.socket.says(snapshot(1, presence("1"), presence("2")));
  await world.socket.drops();
  await clock.pass(1_000);
  await world.socket.ready();
  for (const users of [["2"], ["1", "2"]]) {
    sync.want(users);
    conn.watch();
  }
  await world.socket.says(diff(5, presence("1", "away", 4), presence("2", "away", 5)));
  assert.deepEqual(world.socket.sent.at(-1), { type: "watch", users: ["1"] });
  await world.socket.says(snapshot(5, presence("1", "away", 4)));
  assert.deepEqual(told, ["1 online", "2 online", "2 away", "1 away"]);
});

test("so is one on an event stream", async () => {
  const { world, sync, conn, clock } = await withoutSockets({ users: ["1", "2"] });
  await world.stream.says("snapshot", "e-1", { presences: [presence("1"), presence("2")] });
  for (const users of [["2"], ["1", "2"]]) {
    sync.want(users);
    conn.watch();
  }
  await clock.pass(200);
  assert.equal(world.streams.length, 2);
});

test("idle over a socket makes the login's own session idle as well", async () => {
  const { world, conn } = await connection();
  await world.socket.ready();
  conn.activity(false);
  conn.activity(true);
  await settle();
  assert.deepEqual(world.requests.map(({ path, body }) => `${path} ${body.activity}`), ["users/heartbeat/ idle"]);
});

test("a token that never comes says nothing of the way", async () => {
  let answer = () => new Promise(() => {});
  const { world, clock } = await connection({ token: () => answer() });
  await clock.pass(120_000);
  answer = () => "late";
  await clock.pass(45_000);
  assert.equal(world.requests.length, 0);
  await world.socket.ready();
  assert.deepEqual(world.socket.sent[0], { type: "auth", token: "late" });
});

for (const [how, answer] of [["nobody answers", null], ["a proxy answers in its place", { status: 502 }]]) {
  test(`a server that is away is tried by a socket first, where ${how}`, async () => {
    const { world, clock } = await connection();
    const answers = world.answers;
    world.answers = answer ? { "users/heartbeat/": () => answer } : {};
    for (let tries = 0; tries < 5; tries++) {
      await world.socket.drops();
      await clock.pass(30_000);
    }
    world.answers = answers;
    const before = world.requests.length;
    await world.socket.ready();
    await clock.pass(60_000);
    assert.equal(world.requests.length, before, "and needs no heartbeats");
    assert.equal(world.streams.length, 0);
  });
}

test("a network that swallows everything is tried by a socket first when it is back", async () => {
  const { world, clock } = await connection();
  world.env.fetch = () => new Promise(() => {});
  await clock.pass(300_000);
  const { fetch } = tab().env;
  const tries = world.sockets.length;
  world.env.fetch = fetch;
  for (let i = 0; world.sockets.length === tries; i++) {
    assert.ok(i < 45, "within the longest pause and an attempt");
    await clock.pass(1_000);
  }
  await world.socket.ready();
  assert.equal(world.socket.sent[0].type, "auth");
  assert.equal(world.streams.length, 0);
});

test("a socket that cannot even be made is a way that is blocked", async () => {
  const world = tab();
  world.env.WebSocket = function () {
    throw new DOMException("not here", "SecurityError");
  };
  const sync = makeSync();
  sync.want(["1"]);
  open({ url: "https://presence.example", token: "t", sync, active: true, env: world.env, told() {}, stopped() {}, failed() {} });
  await world.clock.pass(1_000);
  assert.equal(world.streams.length, 1);
});

test("a goodbye closes cleanly and ends the login's presence; a handover does neither", async () => {
  for (const [goodbye, code, leaves] of [[true, 1000, 1], [false, 3001, 0]]) {
    const { world, conn, clock } = await connection();
    await world.socket.ready();
    conn.close(goodbye, true);
    await clock.pass(600_000);
    assert.equal(world.socket.closedWith, code);
    assert.equal(world.sockets.length, 1);
    const leave = world.requests.filter(({ path, keepalive }) => path === "presence/leave" && keepalive);
    assert.equal(leave.length, leaves);
  }
});
