// The table of users: live, searched, filtered, sorted, a page at a time. What is asked is in the address, and nothing but the
// person who looks changes it.

import { Refused, get } from "./api.js";
import { createUser } from "./actions.js";
import { choice, dot, h, put, redot, say } from "./dom.js";
import { showLive, watch } from "./live.js";
import { ago, count, date, setAgo } from "./time.js";

/** When nothing is pushed, and so that what no push tells (new accounts, other states) comes too. */
const REFRESH_MS = 10_000;
/** When whom the page shows depends on statuses: so often, */
const STATUS_REFRESH_MS = 1_000;
/** but never more than this part of the time. */
const BUSY_PART = 5;

const COLUMNS = [
  { title: "User", order: "username" },
  { title: "Status", order: "online_status" },
  { title: "Last seen", order: "last_seen" },
  { title: "Role", wide: true },
  { title: "Account", wide: true },
  { title: "Joined", order: "created_at", wide: true },
];

const DEFAULTS = { search: "", online_status: "", status: "", role: "", ordering: "-created_at", page: "1", per_page: "50" };

/** Where the table was left, so that the way back from a user leads there. */
let left = "#/users";
export const lastUsers = () => left;

/** @type {import("./app.js").Page} */
export function showUsers({ place, query, me }) {
  const asked = /** @type {Record<string, string>} */ ({ ...DEFAULTS });
  for (const name of Object.keys(DEFAULTS)) if (query.get(name)) asked[name] = /** @type {string} */ (query.get(name));

  /** @type {Map<number, Row>} */
  const rows = new Map();
  left = location.hash;
  let total = 0;
  let over = false;
  let live = false;
  let watched = "";
  let round = 0;
  /** @type {() => void} */
  let unwatch = () => {};
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

  const body = h("tbody");
  const push = h("span", { class: "push", role: "status" });
  const trouble = h("p", { class: "notice", role: "alert", hidden: true });
  const empty = h("p", { class: "empty", hidden: true }, "Nobody matches.");
  const amount = h("span", { class: "soft amount" });
  const pageInput = h("input", { type: "number", min: 1, "aria-label": "Page", class: "page", onchange: () => ask({ page: String(Math.max(1, Math.floor(Number(pageInput.value)) || 1)) }) });
  const pages = h("span", { class: "soft" });
  const previous = h("button", { onclick: () => ask({ page: String(Number(asked.page) - 1) }) }, "← Previous");
  const next = h("button", { onclick: () => ask({ page: String(Number(asked.page) + 1) }) }, "Next →");
  const search = h("input", {
    type: "search",
    placeholder: "Search names and e-mail",
    "aria-label": "Search names and e-mail",
    value: asked.search,
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(() => ask({ search: search.value.trim(), page: "1" }), 250);
    },
  });
  const heads = COLUMNS.map((column) => {
    const order = column.order;
    if (!order) return h("th", { scope: "col", class: column.wide ? "wide" : null }, column.title);
    return h("th", { scope: "col", class: column.wide ? "wide" : null, "data-order": order }, h("button", { class: "sort", onclick: () => ask({ ordering: turned(asked.ordering, order), page: "1" }) }, column.title));
  });

  /** @param {Record<string, string>} changed */
  const ask = (changed) => {
    Object.assign(asked, changed);
    const told = new URLSearchParams(Object.entries(asked).filter(([name, value]) => value !== DEFAULTS[/** @type {keyof typeof DEFAULTS} */ (name)]));
    left = `#/users${told.size ? `?${told}` : ""}`;
    history.replaceState(null, "", left);
    load();
  };

  const depends = () => asked.online_status !== "" || /online_status|last_seen/.test(asked.ordering);

  async function load() {
    clearTimeout(timer);
    const mine = ++round;
    const began = performance.now();
    const question = new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== ""));
    try {
      const page = await get(`/api/users/admin/users/?${question}`);
      if (over || mine !== round) return;
      trouble.hidden = true;
      show(page);
    } catch (error) {
      if (over || mine !== round) return;
      if (error instanceof Refused && error.code === "invalid_page") return last(mine);
      say(trouble, /** @type {Error} */ (error).message);
      trouble.hidden = false;
    }
    const took = performance.now() - began;
    const wanted = depends() && live ? STATUS_REFRESH_MS : REFRESH_MS;
    again(Math.max(wanted, took * BUSY_PART));
  }

  /** The page is beyond the end, which may have come nearer. @param {number} mine */
  async function last(mine) {
    const question = new URLSearchParams(Object.entries({ ...asked, page: "1" }).filter(([, value]) => value !== ""));
    const page = await get(`/api/users/admin/users/?${question}`).catch(() => null);
    if (over || mine !== round) return;
    if (page) ask({ page: String(Math.max(1, Math.ceil(page.count / Number(asked.per_page)))) });
    else again(REFRESH_MS);
  }

  /** @param {number} pause */
  function again(pause) {
    clearTimeout(timer);
    // A page that nobody sees asks nothing.
    timer = setTimeout(() => (document.hidden ? again(pause) : load()), pause);
  }

  /** @param {any} page */
  function show(page) {
    total = page.count;
    const kept = new Set();
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    let before = null;
    for (const user of page.results) {
      kept.add(user.id);
      let row = rows.get(user.id);
      if (row) row.update(user);
      else rows.set(user.id, (row = new Row(user)));
      const place = before ? before.nextSibling : body.firstChild;
      if (place !== row.element) body.insertBefore(row.element, place);
      before = row.element;
    }
    for (const [id, row] of rows) {
      if (kept.has(id)) continue;
      row.element.remove();
      rows.delete(id);
    }
    // A row that moved has lost the focus on the way.
    if (focused?.isConnected && body.contains(focused)) focused.focus({ preventScroll: true });
    frame();
    const ids = page.results.map((/** @type {any} */ user) => String(user.id)).sort();
    // With nobody to watch, the stream still tells whether it is cut.
    const wanted = (ids.length ? ids : [String(me.id)]).join(",");
    if (wanted === watched) return;
    watched = wanted;
    unwatch();
    unwatch = watch(wanted.split(","), seen, turn);
  }

  /** @param {import("./live.js").Presence} presence */
  function seen(presence) {
    const changed = rows.get(Number(presence.user_id))?.presence(presence);
    if (changed && depends()) again(200);
  }

  /** @param {boolean} now */
  function turn(now) {
    if (over) return;
    const back = now && !live;
    live = now;
    showLive(push, live);
    if (back) again(0);
  }

  function frame() {
    const per = Number(asked.per_page);
    const page = Number(asked.page);
    const lastPage = Math.max(1, Math.ceil(total / per));
    say(amount, total ? `${count((page - 1) * per + 1)}–${count(Math.min(page * per, total))} of ${count(total)}` : "0");
    say(pages, `of ${count(lastPage)}`);
    if (document.activeElement !== pageInput) pageInput.value = String(page);
    pageInput.max = String(lastPage);
    previous.disabled = page <= 1;
    next.disabled = page >= lastPage;
    empty.hidden = total > 0;
    for (const head of heads) {
      const order = head.getAttribute("data-order");
      if (!order) continue;
      const sorted = asked.ordering === order ? "ascending" : asked.ordering === `-${order}` ? "descending" : "none";
      head.setAttribute("aria-sort", sorted);
    }
  }

  /** @param {string} label @param {string} name @param {[string, string][]} options */
  const filter = (label, name, options) => choice(label, options, asked[name], (value) => ask({ [name]: value, page: "1" }));

  put(
    place,
    h("div", { class: "title" }, h("h1", {}, "Users"), push, h("span", { class: "grow" }), h("button", { class: "primary", onclick: () => createUser(load) }, "New user")),
    h(
      "div",
      { class: "filters", role: "search" },
      search,
      filter("Status", "online_status", [["", "Any status"], ["online", "Online"], ["away", "Away"], ["offline", "Offline"]]),
      filter("Account state", "status", [["", "Any account"], ["active", "Active"], ["pending", "Pending"], ["suspended", "Suspended"], ["banned", "Banned"], ["inactive", "Deactivated"]]),
      filter("Role", "role", [["", "Any role"], ["admin", "Admin"], ["moderator", "Moderator"], ["user", "User"]]),
    ),
    trouble,
    h("div", { class: "scroll card flush" }, h("table", { class: "users" }, h("caption", { class: "unseen" }, "Users with their live status"), h("thead", {}, h("tr", {}, heads)), body), empty),
    h(
      "nav",
      { class: "pages", "aria-label": "Pages of users" },
      previous,
      h("label", { class: "soft" }, "Page ", pageInput),
      pages,
      next,
      h("span", { class: "grow" }),
      amount,
      filter("Users on a page", "per_page", [["25", "25 a page"], ["50", "50 a page"], ["100", "100 a page"], ["200", "200 a page"]]),
    ),
  );
  load();
  return () => {
    over = true;
    clearTimeout(timer);
    clearTimeout(typing);
    unwatch();
  };
}

/** The order that a click on a column asks for. @param {string} now @param {string} order */
function turned(now, order) {
  if (now === order) return `-${order}`;
  if (now === `-${order}`) return order;
  return order === "username" ? order : `-${order}`;
}

/** A user in the table. */
class Row {
  /** @param {any} user */
  constructor(user) {
    this.user = user;
    this.name = h("a", { href: `#/users/${user.id}` });
    this.full = h("span");
    this.email = h("span");
    this.dot = dot(user.online_status);
    this.seen = ago(null);
    this.role = h("td", { class: "wide" });
    this.state = h("span");
    this.element = h(
      "tr",
      { "data-user": user.id },
      h("th", { scope: "row" }, this.name, h("span", { class: "soft more" }, this.full, this.email)),
      h("td", {}, this.dot),
      h("td", {}, this.seen),
      this.role,
      h("td", { class: "wide" }, this.state),
      h("td", { class: "wide soft" }, h("time", { datetime: user.created_at, title: user.created_at }, date(user.created_at))),
    );
    this.update(user);
  }

  /** @param {any} user */
  update(user) {
    this.user = user;
    say(this.name, user.username);
    say(this.full, user.full_name);
    say(this.email, user.email);
    say(this.role, user.role);
    const state = user.display_status === "inactive" ? "deactivated" : user.display_status;
    say(this.state, state);
    this.state.className = `state ${state}`;
    this.show(user.online_status, user.last_seen);
  }

  /** @param {import("./live.js").Presence} presence @returns {boolean} whether the status changed */
  presence(presence) {
    const changed = this.show(presence.status, presence.last_seen);
    if (changed) {
      this.element.classList.remove("changed");
      void this.element.offsetWidth;
      this.element.classList.add("changed");
    }
    return changed;
  }

  /** @param {string} status @param {string | null} lastSeen */
  show(status, lastSeen) {
    setAgo(this.seen, lastSeen, status === "online" ? "now" : "");
    return redot(this.dot, status);
  }
}
