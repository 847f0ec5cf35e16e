// How the server is: how many there are, how busy it is, and the last hour or day as a chart.

import { get } from "./api.js";
import { chart } from "./chart.js";
import { h, put, say } from "./dom.js";
import { bytes, count, exact, learnClock, length } from "./time.js";

const FIGURES_MS = 2_000;
const CHART_MS = 30_000;

/** @type {import("./app.js").Page} */
export function showOverview({ place }) {
  let over = false;
  let span = "hour";
  let round = 0;
  /** @type {ReturnType<typeof setTimeout>[]} */
  const timers = [];

  const trouble = h("p", { class: "notice", role: "alert", hidden: true });
  const tiles = {
    online: tile("Online now", "online"),
    away: tile("Away now", "away"),
    sessions: tile("Live sessions"),
    heartbeats: tile("Heartbeats a second"),
    transitions: tile("Transitions a minute"),
    lateness: tile("Offline, how late"),
    memory: tile("Memory"),
    store: tile("Store"),
    nodes: tile("Nodes"),
  };
  tiles.nodes.element.hidden = true;
  const picture = h("div", { class: "chart" });
  const honest = h("p", { class: "soft hint" });
  const spans = ["hour", "day"].map((word) =>
    h("button", { "aria-pressed": String(word === span), onclick: () => {
      span = word;
      spans.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === `Last ${word}`)));
      draw();
    } }, `Last ${word}`),
  );

  async function figures() {
    if (!document.hidden) {
      try {
        const told = await get("/api/users/admin/overview/");
        if (over) return;
        trouble.hidden = true;
        learnClock(told.as_of);
        show(told);
      } catch (error) {
        if (over) return;
        say(trouble, /** @type {Error} */ (error).message);
        trouble.hidden = false;
      }
    }
    timers[0] = setTimeout(figures, FIGURES_MS);
  }

  async function draw() {
    clearTimeout(timers[1]);
    const mine = ++round;
    if (!document.hidden) {
      try {
        const told = await get(`/api/users/admin/overview/samples/?window=${span}`);
        if (over || mine !== round) return;
        put(picture, chart(told.samples, `Online and away over the last ${span}`));
        say(honest, source(told));
      } catch {
        // The figures say that the server does not answer.
      }
    }
    if (!over) timers[1] = setTimeout(draw, CHART_MS);
  }

  /** @param {any} told */
  function show(told) {
    const late = told.lateness;
    tiles.online.set(count(told.online));
    tiles.away.set(count(told.away));
    tiles.sessions.set(count(told.sessions), `${count(told.streams)} open streams and sockets`);
    const observed = told.observed_seconds < 60 ? `first ${length(told.observed_seconds)}` : "last minute";
    tiles.heartbeats.set(rate(told.heartbeats_per_second), `all evidence of life, ${observed}`);
    tiles.transitions.set(rate(told.transitions_per_minute), told.transitions_per_minute === null ? "known when a minute is over" : observed);
    tiles.lateness.set(
      late.count === 0 ? "nobody yet" : late.p99_seconds === null ? "over 30 s" : `≤ ${late.p99_seconds} s`,
      late.count === 0 ? "nobody fell silent since the start" : `99 of 100, of ${count(late.count)} since the start; ${percent(late.within_a_second)} within a second`,
    );
    tiles.memory.set(bytes(told.resident_bytes), `up for ${length(told.uptime_seconds)} · version ${told.version}`);
    tiles.store.set(told.store_healthy ? "keeps up" : "fails", `${count(told.pending)} decisions not kept yet`);
    tiles.store.element.classList.toggle("bad", !told.store_healthy);
    if (told.cluster) showNode(told.cluster);
  }

  /** Behind a load balancer each look may be answered by another node. @param {any} cluster */
  function showNode({ node, members, cut_off: cutOff }) {
    tiles.nodes.element.hidden = false;
    tiles.nodes.element.classList.toggle("bad", cutOff !== null);
    if (cutOff === null) tiles.nodes.set(count(members), `heartbeats, streams, lateness and memory are those of ${node}`);
    else tiles.nodes.set("cut off", `${node} goes on alone: ${cutOff}`);
  }

  put(
    place,
    h("div", { class: "title" }, h("h1", {}, "Overview")),
    trouble,
    h("div", { class: "tiles" }, Object.values(tiles).map((one) => one.element)),
    h(
      "section",
      { class: "card" },
      h("div", { class: "title" }, h("h2", {}, "Online and away"), h("span", { class: "grow" }), h("div", { class: "segments", role: "group", "aria-label": "How far back" }, spans)),
      picture,
      honest,
    ),
  );
  figures();
  draw();
  return () => {
    over = true;
    timers.forEach(clearTimeout);
  };
}

/** @param {string} title @param {string} [status] */
function tile(title, status) {
  const value = h("dd", {}, "…");
  const more = h("dd", { class: "soft hint" });
  const element = h("dl", { class: "tile" }, h("dt", {}, status ? h("span", { class: `dot ${status}` }, title) : title), value, more);
  return {
    element,
    set(/** @type {string} */ text, /** @type {string} */ hint = "") {
      say(value, text);
      say(more, hint);
    },
  };
}

/** Where the samples come from. @param {any} told */
function source({ samples, sampled_since: since }) {
  const counted = `Counted each minute since this server started (${exact(since)})`;
  // A moment of the start belongs to it, by whichever clock reading it was written down.
  if (Date.parse(samples[0].at) >= Date.parse(since) - 1_000) return `${counted}; there is no history of the time before.`;
  return `${counted}; before that reckoned back from the history of transitions, where erased accounts are missing.`;
}

/** @param {number | null} amount */
const rate = (amount) => (amount === null ? "not yet" : amount >= 100 ? count(Math.round(amount)) : amount >= 10 || amount === 0 ? amount.toFixed(0) : amount.toFixed(1));

/** @param {number | null} share */
const percent = (share) => (share === null ? "none" : share === 1 ? "all" : `${(Math.floor(share * 1000) / 10).toFixed(1)} %`);
