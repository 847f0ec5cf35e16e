// What administrators did, newest first.

import { get } from "./api.js";
import { h, put, say } from "./dom.js";
import { ago, exact } from "./time.js";

const REFRESH_MS = 10_000;

/** The acts, for people. */
const WORDS = /** @type {Record<string, string>} */ ({
  create: "created the account",
  update: "changed the account",
  delete: "deleted the account",
  suspend: "suspended",
  ban: "banned",
  activate: "activated",
  approve: "approved",
  force_logout: "logged out everywhere",
  end_session: "ended a session of",
  set_online_status: "set the status",
  set_password: "set the password",
  create_api_key: "made an API key",
  revoke_api_key: "revoked an API key",
});

/** @type {import("./app.js").Page} */
export function showAudit({ place }) {
  let over = false;
  /** Where the pages before this one began. @type {(number | null)[]} */
  const trail = [null];
  /** @type {number | null} */
  let further = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const trouble = h("p", { class: "notice", role: "alert", hidden: true });
  const body = h("tbody");
  const empty = h("p", { class: "empty", hidden: true }, "Nothing was done yet.");
  const newer = h("button", { onclick: () => (trail.pop(), load()) }, "← Newer");
  const older = h("button", { onclick: () => (trail.push(further), load()) }, "Older →");

  async function load() {
    clearTimeout(timer);
    const before = trail[trail.length - 1];
    try {
      const page = await get(`/api/users/admin/audit/?limit=50${before === null ? "" : `&before=${before}`}`);
      if (over || before !== trail[trail.length - 1]) return;
      trouble.hidden = true;
      further = page.next_before;
      put(body, page.entries.map(line));
      empty.hidden = page.entries.length > 0;
    } catch (error) {
      if (over) return;
      say(trouble, /** @type {Error} */ (error).message);
      trouble.hidden = false;
    }
    newer.disabled = trail.length === 1;
    older.disabled = further === null;
    if (before === null) timer = setTimeout(load, REFRESH_MS);
  }

  put(
    place,
    h("div", { class: "title" }, h("h1", {}, "Audit log")),
    trouble,
    h("div", { class: "scroll card flush" }, h("table", { class: "audit" }, h("thead", {}, h("tr", {}, ["When", "Who", "What", "To whom", "More"].map((title) => h("th", { scope: "col" }, title)))), body), empty),
    h("nav", { class: "pages", "aria-label": "Pages of the audit log" }, newer, older),
  );
  load();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

/** @param {any} entry */
function line(entry) {
  return h(
    "tr",
    {},
    h("td", { title: exact(entry.at) }, exact(entry.at), " ", h("span", { class: "soft" }, ago(entry.at))),
    h("td", {}, entry.actor ? account(entry.actor) : h("span", { class: "soft" }, "the command line")),
    h("td", {}, WORDS[entry.action] ?? entry.action),
    h("td", {}, entry.target ? account(entry.target) : "–"),
    h("td", { class: "detail" }, entry.detail === entry.target?.username ? "" : entry.detail),
  );
}

/** @param {{id: number, username: string | null}} told */
function account(told) {
  if (told.username === null) return h("span", { class: "soft" }, `account ${told.id}, erased`);
  return h("a", { href: `#/users/${told.id}` }, told.username);
}
