// Times and amounts for people.

import { h } from "./dom.js";

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** How far the server's clock is ahead of this one, in milliseconds. */
let ahead = 0;

/** Learns the server's clock. @param {string | null | undefined} asOf */
export function learnClock(asOf) {
  if (asOf) ahead = Date.parse(asOf) - Date.now();
}

/** The server's now. */
export const now = () => Date.now() + ahead;

/** @param {number | string} at */
export const exact = (at) => EXACT.format(new Date(at));
/** @param {number | string} at */
export const day = (at) => DAY.format(new Date(at));
/** @param {number | string} at */
export const date = (at) => DATE.format(new Date(at));
/** @param {number | string} at */
export const clock = (at) => CLOCK.format(new Date(at));

/** How long ago, or how far ahead. @param {number} at */
export function relative(at) {
  const seconds = Math.round((now() - at) / 1000);
  const far = Math.abs(seconds);
  const words = far < 60 ? `${far} s` : far < 3600 ? `${Math.floor(far / 60)} min` : far < 86400 ? `${Math.floor(far / 3600)} h` : `${Math.floor(far / 86400)} d`;
  if (far < 5) return "just now";
  return seconds < 0 ? `in ${words}` : `${words} ago`;
}

/** A length of time. @param {number} seconds */
export function length(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 1) return "0";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 60 * 48) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** A moment that keeps telling how long ago it was; the exact one on hover. @param {string | null} at @param {string} [never] */
export function ago(at, never = "never") {
  const element = h("time", { class: "ago" });
  setAgo(element, at, never);
  return element;
}

/** @param {HTMLElement} element @param {string | null} at @param {string} [words] said in its place */
export function setAgo(element, at, words) {
  element.dataset.words = at && words === "never" ? "" : (words ?? "");
  if (at) {
    element.setAttribute("datetime", at);
    element.title = exact(at);
  } else {
    element.removeAttribute("datetime");
    element.title = "Nothing was ever heard";
  }
  tell(element);
}

/** @param {HTMLElement} element */
function tell(element) {
  const at = element.getAttribute("datetime");
  const text = element.dataset.words || (at ? relative(Date.parse(at)) : "never");
  if (element.textContent !== text) element.textContent = text;
}

setInterval(() => {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time.ago")) tell(/** @type {HTMLElement} */ (element));
}, 1000);

/** @param {number} amount */
export const count = (amount) => amount.toLocaleString();

/** @param {number} bytes */
export function bytes(bytes) {
  if (!bytes) return "not told";
  return bytes < 1 << 30 ? `${(bytes / (1 << 20)).toFixed(0)} MiB` : `${(bytes / (1 << 30)).toFixed(1)} GiB`;
}
