// Two lines over time: online and away.

import { h, s, say } from "./dom.js";
import { clock, count, exact } from "./time.js";

const WIDTH = 960;
const HEIGHT = 240;
const LEFT = 48;
const BOTTOM = 24;
const TOP = 10;
const RIGHT = 8;

/** @typedef {{at: string, online: number, away: number}} Sample */

/** A round number that is not below. @param {number} most */
function roof(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 4)));
  return [1, 2, 4, 5, 8, 10].map((step) => step * power).find((bound) => bound >= Math.max(most, 4)) ?? 10 * power;
}

/** @param {Sample[]} samples @param {string} title */
export function chart(samples, title) {
  if (samples.length < 2) return h("p", { class: "empty" }, "The first samples come within a minute.");
  const times = samples.map((sample) => Date.parse(sample.at));
  const [first, last] = [times[0], times[times.length - 1]];
  const top = roof(Math.max(...samples.map((sample) => Math.max(sample.online, sample.away))));
  const x = (/** @type {number} */ at) => LEFT + ((at - first) / Math.max(last - first, 1)) * (WIDTH - LEFT - RIGHT);
  const y = (/** @type {number} */ amount) => TOP + (1 - amount / top) * (HEIGHT - TOP - BOTTOM);
  const line = (/** @type {"online" | "away"} */ of) => samples.map((sample, place) => `${place ? "L" : "M"}${x(times[place]).toFixed(1)} ${y(sample[of]).toFixed(1)}`).join("");
  const rows = [0, 0.25, 0.5, 0.75, 1].map((part) => part * top);
  const ticks = [0, 1, 2, 3, 4, 5, 6].map((part) => first + (part / 6) * (last - first));
  const most = samples.reduce((best, sample) => (sample.online > best.online ? sample : best));
  const least = samples.reduce((best, sample) => (sample.online < best.online ? sample : best));
  const newest = samples[samples.length - 1];
  const words = `Newest: ${count(newest.online)} online, ${count(newest.away)} away. Most online: ${count(most.online)} at ${clock(most.at)}; least: ${count(least.online)} at ${clock(least.at)}.`;

  const mark = s("line", { class: "mark", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const told = h("p", { class: "told" }, words);
  const picture = s(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}. ${words}` },
    rows.map((amount) => [s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(amount), y2: y(amount) }), s("text", { x: LEFT - 8, y: y(amount) + 4, "text-anchor": "end" }, count(Math.round(amount * 100) / 100))]).flat(),
    ticks.map((at, place) => s("text", { x: x(at), y: HEIGHT - 6, "text-anchor": place === 0 ? "start" : place === 6 ? "end" : "middle" }, clock(at))),
    s("path", { class: "area online", d: `${line("online")}L${x(last)} ${y(0)}L${x(first)} ${y(0)}Z` }),
    s("path", { class: "line away", d: line("away") }),
    s("path", { class: "line online", d: line("online") }),
    mark,
  );
  picture.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const box = picture.getBoundingClientRect();
    const at = first + ((((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT)) * (last - first);
    const place = times.reduce((best, time, here) => (Math.abs(time - at) < Math.abs(times[best] - at) ? here : best), 0);
    const sample = samples[place];
    mark.setAttribute("x1", String(x(times[place])));
    mark.setAttribute("x2", String(x(times[place])));
    mark.setAttribute("visibility", "visible");
    say(told, `${exact(sample.at)}: ${count(sample.online)} online, ${count(sample.away)} away.`);
  });
  picture.addEventListener("pointerleave", () => {
    mark.setAttribute("visibility", "hidden");
    say(told, words);
  });
  return h("figure", {}, picture, h("figcaption", {}, h("span", { class: "dot online" }, "online"), h("span", { class: "dot away" }, "away"), told));
}
