// The days of a user as a picture: a band for each day, coloured by status, with the time online beside it.

import { h, s } from "./dom.js";
import { clock, day, length, now } from "./time.js";

const DAYS = 7;
/** How wide a band is drawn: a unit a minute, a day of 25 hours at most. */
const MINUTE_MS = 60_000;

/** @typedef {{status: string, from: number, to: number}} Span */
/** @typedef {{from: number, to: number, spans: Span[], online: number, away: number}} Day */

/** @param {number} at @param {number} [more] */
function midnight(at, more = 0) {
  const date = new Date(at);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + more).getTime();
}

/** Where the picture begins. */
export const windowStart = () => midnight(now(), 1 - DAYS);

/**
 * Cuts a history into days, the newest first.
 * @param {{from: string, to: string, at: string}[]} transitions @param {{status: string, since: string | null}} presence
 * @returns {Day[]}
 */
export function days(transitions, presence) {
  const end = now();
  const start = windowStart();
  const held = presence.since && Date.parse(presence.since) <= start ? presence.status : "offline";
  let status = transitions[0]?.from ?? held;
  let since = start;
  /** @type {Span[]} */
  const spans = [];
  for (const row of transitions) {
    const at = Math.max(since, Math.min(Date.parse(row.at), end));
    if (at > since) spans.push({ status, from: since, to: at });
    [status, since] = [row.to, at];
  }
  if (end > since) spans.push({ status, from: since, to: end });
  return Array.from({ length: DAYS }, (_, back) => {
    const [from, to] = [midnight(end, -back), midnight(end, 1 - back)];
    const inside = spans.filter((span) => span.to > from && span.from < to).map((span) => ({ ...span, from: Math.max(span.from, from), to: Math.min(span.to, to) }));
    const seconds = (/** @type {string} */ word) => inside.filter((span) => span.status === word).reduce((sum, span) => sum + span.to - span.from, 0) / 1000;
    return { from, to, spans: inside, online: seconds("online"), away: seconds("away") };
  });
}

/** @param {Day} one */
function band(one) {
  const width = (one.to - one.from) / MINUTE_MS;
  const x = (/** @type {number} */ at) => (at - one.from) / MINUTE_MS;
  const words = `${day(one.from)}: online ${length(one.online)}, away ${length(one.away)}`;
  return s(
    "svg",
    { class: "band", viewBox: `0 0 ${width} 16`, preserveAspectRatio: "none", role: "img", "aria-label": words },
    s("rect", { class: "ground", width, height: 16 }),
    one.spans
      .filter((span) => span.status !== "offline")
      .map((span) =>
        s("rect", { class: span.status, x: x(span.from), width: Math.max(x(span.to) - x(span.from), 1.5), height: 16 }, s("title", {}, `${span.status} ${clock(span.from)}–${clock(span.to)}, ${length((span.to - span.from) / 1000)}`)),
      ),
    [6, 12, 18].map((hour) => s("line", { class: "hour", x1: hour * 60, x2: hour * 60, y1: 0, y2: 16 })),
  );
}

/** @param {Day[]} shown */
export function timeline(shown) {
  return h(
    "div",
    { class: "timeline" },
    shown.map((one) => [h("span", { class: "soft" }, day(one.from)), band(one), h("span", { class: "sum" }, one.online ? `${length(one.online)} online` : "–")]),
    h("span"),
    h("span", { class: "hours soft", "aria-hidden": "true" }, ["0", "6", "12", "18", "24"].map((hour) => h("span", {}, hour))),
    h("span", { class: "sum soft legend" }, h("span", { class: "dot online" }, "online"), h("span", { class: "dot away" }, "away")),
  );
}
