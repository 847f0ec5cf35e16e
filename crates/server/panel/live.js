// Presences as they change. What is shown is pushed by the server; when push is cut this says so, and comes back by itself.

import { Refused, open } from "./api.js";
import { learnClock } from "./time.js";

/** A stream says something at least every 15 seconds. */
const SILENCE_MS = 30_000;
const PAUSE_MS = 500;
const PAUSE_MAX_MS = 8_000;

/** @typedef {{user_id: string, status: string, last_seen: string | null, since: string | null, as_of: string}} Presence */

/**
 * Watches these users until the returned function is called. A page that nobody sees holds no stream.
 * @param {string[]} ids @param {(presence: Presence) => void} seen @param {(live: boolean) => void} turned @returns {() => void}
 */
export function watch(ids, seen, turned) {
  let last = "";
  let pause = PAUSE_MS;
  let over = false;
  /** @type {AbortController | null} */
  let stream = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /** @param {string} type @param {string} id @param {string} data */
  const take = (type, id, data) => {
    if (id) last = id;
    if (type === "snapshot") {
      for (const presence of JSON.parse(data).presences) {
        learnClock(presence.as_of);
        seen(presence);
      }
    } else if (type === "presence") seen(JSON.parse(data));
  };

  const run = async () => {
    const mine = new AbortController();
    stream = mine;
    let silence = setTimeout(() => mine.abort(), SILENCE_MS);
    try {
      const path = `/api/presence/events?users=${ids.map(encodeURIComponent).join(",")}`;
      const response = await open("GET", path, { signal: mine.signal, headers: last ? { "Last-Event-ID": last } : {} });
      if (over || !response.body) return;
      turned(true);
      pause = PAUSE_MS;
      const parse = events(take);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || over) break;
        clearTimeout(silence);
        silence = setTimeout(() => mine.abort(), SILENCE_MS);
        parse(value);
      }
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) over = true;
    } finally {
      clearTimeout(silence);
      mine.abort();
      if (!over && stream === mine) {
        turned(false);
        timer = setTimeout(run, pause * (0.5 + Math.random()));
        pause = Math.min(pause * 2, PAUSE_MAX_MS);
      }
    }
  };

  const seenOrNot = () => {
    clearTimeout(timer);
    if (document.hidden) {
      const left = stream;
      stream = null;
      left?.abort();
    } else if (!stream && !over) run();
  };

  document.addEventListener("visibilitychange", seenOrNot);
  if (!document.hidden) run();
  return () => {
    over = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seenOrNot);
    stream?.abort();
  };
}

/** Cuts a text that comes in pieces into events. @param {(type: string, id: string, data: string) => void} take */
function events(take) {
  let rest = "";
  let type = "";
  let id = "";
  /** @type {string[]} */
  let data = [];
  return (/** @type {string} */ text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (data.length) take(type, id, data.join("\n"));
        [type, id, data] = ["", "", []];
      } else if (line.startsWith("event:")) type = line.slice(6).trim();
      else if (line.startsWith("id:")) id = line.slice(3).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
    }
  };
}

/** Says whether a page is live. @param {HTMLElement} element @param {boolean} live */
export function showLive(element, live) {
  element.className = live ? "push live" : "push cut";
  const text = live ? "Live" : "Not live: push is cut. Refreshing every 10 seconds.";
  if (element.textContent !== text) element.textContent = text;
}
