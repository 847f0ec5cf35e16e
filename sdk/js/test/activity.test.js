import assert from "node:assert/strict";
import { test } from "node:test";
import { watchActivity } from "../src/activity.js";
import { tab } from "./world.js";

function watched() {
  const world = tab();
  const seen = [];
  const activity = watchActivity({ idleAfter: 300_000, hiddenAfter: 5_000, env: world.env, changed: (active) => seen.push(active) });
  return { world, seen, activity, clock: world.clock };
}

test("five minutes without input are idle, and input ends it", async () => {
  const { world, seen, clock } = watched();
  await clock.pass(200_000);
  await world.input();
  await clock.pass(299_999);
  assert.deepEqual(seen, []);
  await clock.pass(1);
  assert.deepEqual(seen, [false]);
  await world.input();
  assert.deepEqual(seen, [false, true]);
});

test("what a page does itself is no input", async () => {
  const { world, seen, clock } = watched();
  await clock.pass(200_000);
  world.event("scroll");
  await clock.pass(100_000);
  assert.deepEqual(seen, [false]);
  world.event("focus");
  assert.deepEqual(seen, [false, true], "the window's focus is a person's doing");
});

test("a hidden tab is idle after a moment, a glance elsewhere is not", async () => {
  const { world, seen, clock } = watched();
  await world.hide();
  await clock.pass(4_000);
  await world.hide(false);
  await clock.pass(60_000);
  assert.deepEqual(seen, []);
  await world.hide();
  await clock.pass(5_000);
  assert.deepEqual(seen, [false]);
  await world.hide(false);
  assert.deepEqual(seen, [false, true]);
});

test("a machine that slept is idle when it wakes, until somebody touches it", async () => {
  const { world, seen, clock } = watched();
  await clock.sleep(3_600_000);
  assert.deepEqual(seen, [false]);
  await world.input();
  assert.deepEqual(seen, [false, true]);
});

test("what the page says stands above what is seen", async () => {
  const { world, seen, clock, activity } = watched();
  activity.say("active");
  await clock.pass(900_000);
  assert.deepEqual(seen, []);
  activity.say(null);
  assert.deepEqual(seen, [false]);
  await world.input();
  activity.say("idle");
  await world.input();
  assert.deepEqual(seen, [false, true, false]);
});

test("once stopped it says nothing", async () => {
  const { seen, clock, activity } = watched();
  activity.stop();
  await clock.pass(900_000);
  assert.deepEqual(seen, []);
});
