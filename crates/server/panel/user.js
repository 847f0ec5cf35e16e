// One user: why they have their status, their sessions, their days, and what can be done.

import { Refused, get } from "./api.js";
import { actions, endSession } from "./actions.js";
import { dot, h, put, redot, say } from "./dom.js";
import { showLive, watch } from "./live.js";
import { ago, exact, learnClock, relative, setAgo } from "./time.js";
import { days, timeline, windowStart } from "./timeline.js";
import { lastUsers } from "./users.js";

const REFRESH_MS = 10_000;
const NEWEST = 12;

/** The reasons of transitions, for people. */
const REASONS = /** @type {Record<string, string>} */ ({
  evidence: "was heard",
  activity: "activity changed",
  logout: "signed out",
  disconnected: "connection lost",
  expired: "silence: the deadline passed",
  set: "set by an admin",
  override: "overridden",
  override_ended: "the override ended",
  forced_logout: "logged out by an admin",
  barred: "the account may not be present",
  mended: "mended after a comparison",
});

/** @type {import("./app.js").Page} */
export function showUser({ place, path, me }) {
  const id = path[1];
  let over = false;
  let round = 0;
  let offered = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const back = h("p", { class: "back" }, h("a", { href: lastUsers() }, "← Users"));
  const name = h("h1", {}, "…");
  const status = dot("offline");
  const seen = ago(null);
  const push = h("span", { class: "push", role: "status" });
  const about = h("p", { class: "soft about" });
  const buttons = h("div", { class: "actions", role: "group", "aria-label": "Actions" });
  const trouble = h("p", { class: "notice", role: "alert", hidden: true });
  const why = h("div", { class: "why" });
  const sessions = scroll("Sessions");
  const picture = h("div");
  const newest = scroll("Newest transitions");

  async function load() {
    clearTimeout(timer);
    const mine = ++round;
    const user = encodeURIComponent(id);
    try {
      const [account, explained, history] = await Promise.all([
        get(`/api/users/admin/users/${user}/`),
        get(`/api/presence/${user}/explain`),
        get(`/api/presence/${user}/history?from=${new Date(windowStart()).toISOString()}`),
      ]);
      if (over || mine !== round) return;
      trouble.hidden = true;
      learnClock(explained.presence.as_of);
      show(account, explained, history);
    } catch (error) {
      if (over || mine !== round) return;
      if (error instanceof Refused && error.status === 404) {
        unwatch();
        return put(place, back, h("h1", {}, "There is no such user"));
      }
      say(trouble, /** @type {Error} */ (error).message);
      trouble.hidden = false;
    }
    again(REFRESH_MS);
  }

  /** @param {number} pause */
  function again(pause) {
    clearTimeout(timer);
    timer = setTimeout(() => (document.hidden ? again(pause) : load()), pause);
  }

  /** @param {any} account @param {any} explained @param {any} history */
  function show(account, explained, history) {
    say(name, account.username);
    document.title = `${account.username} · Presently`;
    redot(status, explained.presence.status);
    setAgo(seen, explained.presence.last_seen, explained.presence.status === "online" ? "now" : "");
    say(about, [account.full_name, account.email, account.is_staff ? `${account.role}, staff` : account.role, `account ${account.display_status === "inactive" ? "deactivated" : account.display_status}`, `joined ${exact(account.created_at)}`, `number ${account.id}`].filter(Boolean).join(" · "));
    const offers = actions(account, me, load, () => (location.hash = lastUsers()));
    const key = JSON.stringify([account.display_status, account.status, account.role, account.online_status, offers.map((offer) => offer.word)]);
    // Buttons that are the same stay: one of them may have the focus.
    if (key !== offered) {
      offered = key;
      const focused = [...buttons.children].indexOf(/** @type {any} */ (document.activeElement));
      put(buttons, offers.map((offer) => h("button", { class: offer.danger ? "careful" : "", onclick: offer.ask }, offer.word)));
      if (focused >= 0) /** @type {HTMLElement} */ (buttons.children[Math.min(focused, buttons.children.length - 1)])?.focus();
    }
    explain(why, explained);
    put(sessions, sessionTable(explained.sessions, (session) => endSession(account, session, load)));
    put(picture, timeline(days(history.transitions, explained.presence)));
    put(newest, transitionTable(history.transitions.slice(-NEWEST).reverse()));
  }

  put(
    place,
    back,
    h("div", { class: "title" }, name, status, h("span", { class: "soft" }, "last seen ", seen), h("span", { class: "grow" }), push),
    about,
    trouble,
    buttons,
    card("Why this status", why),
    card("Sessions", sessions),
    card("The last seven days", picture),
    card("Newest transitions", newest),
  );
  const unwatch = watch(
    [id],
    (presence) => {
      redot(status, presence.status);
      setAgo(seen, presence.last_seen, presence.status === "online" ? "now" : "");
      if (!over && round > 0) again(50);
    },
    (live) => {
      showLive(push, live);
      if (live && !over) again(0);
    },
  );
  load();
  return () => {
    over = true;
    clearTimeout(timer);
    unwatch();
  };
}

/** A table that may be wider than the screen, and that the keyboard moves too. @param {string} title */
const scroll = (title) => h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": title });

/** @param {string} title @param {Node} content */
const card = (title, content) => h("section", { class: "card" }, h("h2", {}, title), content);

/** @param {HTMLElement} why @param {any} told */
function explain(why, told) {
  const rest = [];
  for (const standing of told.overrides) {
    rest.push(h("li", {}, `Overridden to ${standing.status} by the ${standing.source}, `, standing.ends_at ? [`ends ${relative(Date.parse(standing.ends_at))} (${exact(standing.ends_at)})`] : "until it is cleared", "."));
  }
  if (told.held) rest.push(h("li", {}, `Set to ${told.held} until the user is next heard of.`));
  if (told.invisible) rest.push(h("li", {}, "Invisible: everybody but admins is shown an offline user."));
  if (told.barred) rest.push(h("li", {}, "Barred: the account may not be present until it is activated."));
  if (rest.length) rest.push(h("li", {}, `The sessions alone say ${told.merged}: ${told.sessions.length} live.`));
  if (told.presence.since) rest.push(h("li", {}, `${capital(told.presence.status)} since ${exact(told.presence.since)}.`));
  put(why, h("p", { class: "because" }, told.because), h("ul", {}, rest), h("p", { class: "soft" }, "It looks wrong? ", h("a", { href: "/admin/troubleshooting" }, "Troubleshooting"), "."));
}

/** @param {string} word */
const capital = (word) => word[0].toUpperCase() + word.slice(1);

/** @param {any[]} sessions @param {(session: any) => void} end */
function sessionTable(sessions, end) {
  if (!sessions.length) return h("p", { class: "empty" }, "No session is live.");
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ["Device", "Address", "Activity", "Since", "Last evidence", "Deadline", ""].map((title) => h("th", { scope: "col" }, title)))),
    h(
      "tbody",
      {},
      sessions.map((session) =>
        h(
          "tr",
          {},
          h("th", { scope: "row", class: "device", title: session.device ?? "" }, device(session.device) || session.session),
          h("td", {}, session.address || "–"),
          h("td", {}, session.activity),
          h("td", {}, ago(session.since)),
          h("td", {}, ago(session.last_evidence)),
          h("td", {}, ago(session.deadline)),
          h("td", {}, h("button", { class: "careful", "aria-label": `End the session of ${device(session.device) || session.id}`, onclick: () => end(session) }, "End…")),
        ),
      ),
    ),
  );
}

/** What a browser says of itself, in a few words. @param {string | null} agent */
function device(agent) {
  if (!agent) return "";
  const browser = /(Firefox|Edg|OPR|Chrome|Safari)\/(\d+)/.exec(agent.replace(/Headless/, ""));
  const system = /(iPhone|iPad|Android|Windows|Mac OS X|Linux)/.exec(agent);
  const names = /** @type {Record<string, string>} */ ({ Edg: "Edge", OPR: "Opera", "Mac OS X": "macOS" });
  if (!browser) return agent;
  return [`${names[browser[1]] ?? browser[1]} ${browser[2]}`, system ? `on ${names[system[1]] ?? system[1]}` : ""].filter(Boolean).join(" ");
}

/** @param {any[]} transitions */
function transitionTable(transitions) {
  if (!transitions.length) return h("p", { class: "empty" }, "No transition in the last seven days.");
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ["When", "From", "To", "Why"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, transitions.map((row) => h("tr", {}, h("td", {}, exact(row.at)), h("td", {}, dot(row.from)), h("td", {}, dot(row.to)), h("td", {}, REASONS[row.reason] ?? row.reason)))),
  );
}
