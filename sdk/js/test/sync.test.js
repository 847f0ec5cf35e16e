import assert from "node:assert/strict";
import { test } from "node:test";
import { makeSync } from "../src/sync.js";
import { presence } from "./world.js";

const statuses = (changes) => changes.map(({ user_id, status }) => `${user_id} ${status}`);
const snapshot = (seq, presences, epoch = "e") => ({ type: "snapshot", epoch, seq, presences });
const diff = (seq, presences) => ({ type: "diff", seq, presences });

function watching(users) {
  const sync = makeSync();
  sync.want(users);
  return sync;
}

test("a snapshot tells everybody once, and a diff what changed", () => {
  const sync = watching(["1", "2"]);
  assert.deepEqual(statuses(sync.apply(snapshot(1, [presence("1"), presence("2", "offline")]))), ["1 online", "2 offline"]);
  assert.deepEqual(statuses(sync.apply(diff(2, [presence("2", "online", 2)]))), ["2 online"]);
  assert.deepEqual(sync.apply(snapshot(3, [presence("1"), presence("2", "online", 2)])), []);
});

test("it comes back where it was, with whom it knows", () => {
  const sync = watching(["1", "2"]);
  assert.equal(sync.resume(), null);
  sync.apply(snapshot(41, [presence("1")]));
  assert.deepEqual(sync.resume(), { users: ["1"], epoch: "e", seq: 41 });
  assert.deepEqual(sync.fresh(new Set()), ["2"]);
  sync.apply(diff(44, []));
  assert.equal(sync.resume().seq, 44);
});

test("a user who went and came back within a gap is told", () => {
  const sync = watching(["1"]);
  sync.apply(snapshot(1, [presence("1", "online", 1)]));
  assert.deepEqual(statuses(sync.apply(snapshot(9, [presence("1", "online", 5)]))), ["1 online"]);
});

test("another epoch makes everybody fresh whom its snapshot does not name", () => {
  const sync = watching(["1", "2"]);
  sync.apply(snapshot(1, [presence("1"), presence("2")]));
  sync.apply(snapshot(1, [presence("1")], "f"));
  assert.deepEqual(sync.resume(), { users: ["1"], epoch: "f", seq: 1 });
  assert.deepEqual(sync.fresh(new Set()), ["2"]);
});

test("what is late for a user who was dropped and taken again is not told", () => {
  const sync = watching(["1"]);
  sync.apply(snapshot(1, [presence("1")]));
  sync.want([]);
  sync.want(["1"]);
  assert.deepEqual(sync.apply(diff(2, [presence("1", "away", 2)])), []);
  assert.deepEqual(sync.resume(), null, "nor does its place count for them");
  assert.deepEqual(statuses(sync.apply(snapshot(3, [presence("1", "offline", 3)]))), ["1 offline"]);
});

test("answers to questions have no place in the stream", () => {
  const sync = watching(["1"]);
  sync.apply(snapshot(1, [presence("1")]));
  assert.deepEqual(statuses(sync.apply({ type: "snapshot", presences: [presence("1", "away", 2)] })), ["1 away"]);
  assert.equal(sync.resume(), null);
});

test("who does not fit into one message is asked for anew", () => {
  const users = Array.from({ length: 7000 }, (_, i) => `${i}`);
  const sync = watching(users);
  sync.apply(snapshot(1, users.map((user) => presence(user))));
  assert.equal(sync.resume().users.length, 3000);
  assert.equal(sync.fresh(new Set()).length, 3000);
  assert.equal(sync.presences.size, 7000, "and what was told of them is not told again");
});

test("a copy comes back where its original would", () => {
  const one = watching(["1", "2"]);
  const other = watching(["1", "2"]);
  one.apply(snapshot(5, [presence("1"), presence("2")]));
  other.apply(one.snapshot(["1", "2"]));
  for (const sync of [one, other]) sync.apply(diff(6, [presence("1", "away", 6)]));
  assert.deepEqual(other.resume(), one.resume());
});

// Any way of dropping, coming back, watching and not watching against a server that numbers its transitions.
test("nothing is lost and nothing repeated, whatever happens", () => {
  for (let seed = 1; seed <= 300; seed++) {
    let state = seed * 2654435761;
    const random = (n) => {
      state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
      return (state >>> 0) % n;
    };
    const users = ["a", "b", "c", "d"];
    const log = []; // every transition of the server
    let epoch = 1;
    const now = (user) => log.findLast((p) => p.user_id === user) ?? { ...presence(user, "offline"), since: "0000" };
    const sync = makeSync();
    let wanted = new Set(["a"]);
    sync.want(wanted);
    let served = null; // users watched on the connection
    const told = new Map();
    const told_all = [];
    const take = (frame) => {
      for (const change of sync.apply(frame)) {
        const before = told.get(change.user_id);
        assert.ok(!before || before.since < change.since, `seed ${seed}: ${change.user_id} repeated`);
        told.set(change.user_id, change);
        told_all.push(change);
      }
    };
    const ask = () => {
      const gone = [...served].filter((user) => !wanted.has(user));
      gone.forEach((user) => served.delete(user));
      const fresh = sync.fresh(served);
      fresh.forEach((user) => served.add(user));
      if (fresh.length) take({ type: "snapshot", epoch: `${epoch}`, seq: log.length, presences: fresh.map(now) });
    };
    const come_back = () => {
      const from = sync.resume();
      served = new Set(from?.users ?? []);
      if (from && from.epoch === `${epoch}` && random(4)) {
        take(diff(log.length, log.slice(from.seq).filter((p) => served.has(p.user_id))));
      } else if (from) take({ type: "snapshot", epoch: `${epoch}`, seq: log.length, presences: from.users.map(now) });
      ask();
    };
    for (let step = 0; step < 80; step++) {
      const user = users[random(4)];
      switch (random(6)) {
        case 0:
        case 1:
        case 2: {
          const status = ["online", "away", "offline"][random(3)];
          if (now(user).status === status) break;
          const transition = { ...presence(user, status), since: String(log.length + 1).padStart(4, "0") };
          log.push(transition);
          if (served?.has(user)) take(diff(log.length, [transition]));
          break;
        }
        case 3:
          served = null;
          if (!random(5)) epoch++;
          break;
        case 4:
          if (!served) come_back();
          break;
        case 5:
          wanted.has(user) ? wanted.delete(user) : wanted.add(user);
          sync.want(wanted);
          if (!wanted.has(user)) told.delete(user);
          if (served) ask();
      }
      if (served) for (const user of wanted) assert.deepEqual(told.get(user), now(user), `seed ${seed}: ${user} lost`);
    }
  }
});
