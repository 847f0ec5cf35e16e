// Two lines over time: online and away, drawn as wide as there is room.

import { h, put, s, say } from "./dom.js";
import { clock, count, exact } from "./time.js";

const HEIGHT = 250;
const LEFT = 48;
const BOTTOM = 24;
const TOP = 10;
const RIGHT = 8;
/** A time below the chart takes so many pixels. */
const TICK = 90;
const MINUTE_MS = 60_000;
/** Minutes between two times below the chart. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720];

/** @typedef {{at: string, online: number, away: number}} Sample */

/** A round number that is not below, and of which a quarter is a whole one. @param {number} most */
function roof(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 4)));
  const bounds = [1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10, 12].map((step) => Math.round(step * power));
  return bounds.find((bound) => bound >= most && bound % 4 === 0) ?? 12 * power;
}

/** Round times of the day from `first` to `last`, at most so many. @param {number} first @param {number} last @param {number} most */
function ticks(first, last, most) {
  const step = (STEPS.find((minutes) => (last - first) / (minutes * MINUTE_MS) <= most) ?? STEPS[STEPS.length - 1]) * MINUTE_MS;
  const midnight = new Date(first).setHours(0, 0, 0, 0);
  const times = [];
  for (let at = midnight + Math.ceil((first - midnight) / step) * step; at <= last; at += step) times.push(at);
  return times;
}

/** @param {Sample[]} samples @param {string} title */
export function chart(samples, title) {
  if (samples.length < 2) return h("p", { class: "empty" }, "The first samples come within a minute.");
  const times = samples.map((sample) => Date.parse(sample.at));
  const most = samples.reduce((best, sample) => (sample.online > best.online ? sample : best));
  const least = samples.reduce((best, sample) => (sample.online < best.online ? sample : best));
  const newest = samples[samples.length - 1];
  const words = `Newest: ${count(newest.online)} online, ${count(newest.away)} away. Most online: ${count(most.online)} at ${clock(most.at)}; least: ${count(least.online)} at ${clock(least.at)}.`;
  const told = h("p", { class: "told" }, words);
  const room = h("div");
  let width = 0;
  // Starts when it is on the page, and ends with it.
  new ResizeObserver(() => {
    if (room.clientWidth === width || !room.clientWidth) return;
    width = room.clientWidth;
    put(room, draw(samples, times, width, `${title}. ${words}`, (sample) => say(told, sample ? `${exact(sample.at)}: ${count(sample.online)} online, ${count(sample.away)} away.` : words)));
  }).observe(room);
  return h("figure", {}, room, h("figcaption", {}, h("span", { class: "dot online" }, "online"), h("span", { class: "dot away" }, "away"), told));
}

/** @param {Sample[]} samples @param {number[]} times @param {number} width @param {string} label @param {(sample: Sample | null) => void} point */
function draw(samples, times, width, label, point) {
  const [first, last] = [times[0], times[times.length - 1]];
  const top = roof(Math.max(...samples.map((sample) => Math.max(sample.online, sample.away))));
  const x = (/** @type {number} */ at) => LEFT + ((at - first) / Math.max(last - first, 1)) * (width - LEFT - RIGHT);
  const y = (/** @type {number} */ amount) => TOP + (1 - amount / top) * (HEIGHT - TOP - BOTTOM);
  const line = (/** @type {"online" | "away"} */ of) => samples.map((sample, place) => `${place ? "L" : "M"}${x(times[place]).toFixed(1)} ${y(sample[of]).toFixed(1)}`).join("");
  const rows = [0, 0.25, 0.5, 0.75, 1].map((part) => part * top);
  const below = ticks(first, last, Math.floor((width - LEFT - RIGHT) / TICK));
  const anchor = (/** @type {number} */ at) => (x(at) > width - 25 ? "end" : x(at) < LEFT + 18 ? "start" : "middle");

  const mark = s("line", { class: "mark", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const picture = s(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label },
    rows.map((amount) => [s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(amount), y2: y(amount) }), s("text", { x: LEFT - 8, y: y(amount) + 4, "text-anchor": "end" }, count(amount))]),
    below.map((at) => s("text", { x: x(at), y: HEIGHT - 6, "text-anchor": anchor(at) }, clock(at))),
    s("path", { class: "area online", d: `${line("online")}L${x(last)} ${y(0)}L${x(first)} ${y(0)}Z` }),
    s("path", { class: "line away", d: line("away") }),
    s("path", { class: "line online", d: line("online") }),
    mark,
  );
  picture.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const box = picture.getBoundingClientRect();
    const at = first + ((event.clientX - box.left - LEFT) / (width - LEFT - RIGHT)) * (last - first);
    const place = times.reduce((best, time, here) => (Math.abs(time - at) < Math.abs(times[best] - at) ? here : best), 0);
    mark.setAttribute("x1", String(x(times[place])));
    mark.setAttribute("x2", String(x(times[place])));
    mark.setAttribute("visibility", "visible");
    point(samples[place]);
  });
  picture.addEventListener("pointerleave", () => {
    mark.setAttribute("visibility", "hidden");
    point(null);
  });
  return picture;
}
