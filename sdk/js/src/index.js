/**
 * Presently in a web page.
 *
 * ```js
 * import { connect } from "presently";
 * const presence = connect({ url: "https://presence.example.org", token: () => session.accessToken() });
 * const unwatch = presence.watch(["5", "7"], (changes) => changes.forEach((p) => show(p.user_id, p.status)));
 * ```
 *
 * **Invariant:** each tab applies the same frames to its own `sync`, the leader's straight from the server, the others'
 * from the leader; so whoever leads next comes back exactly where the last one was.
 */
import { watchActivity } from "./activity.js";
import { open } from "./connection.js";
import { USERS_MAX, makeSync } from "./sync.js";
import { makeTabs } from "./tabs.js";

/** @typedef {import("./sync.js").Presence} Presence */
/** @typedef {import("./sync.js").Status} Status */

/**
 * @typedef {object} Options
 * @property {string} [url] where the server is; without it, where the page is from
 * @property {import("./connection.js").Token} token an access token, or a function that gives a good one (or null: nobody is signed in)
 * @property {string} [key] tabs with the same key share a connection; without it, tabs whose tokens name the same user
 * @property {number} [idleAfter] milliseconds without input until somebody is away: 5 minutes
 * @property {number} [hiddenAfter] milliseconds that a tab may be hidden until somebody is away: 5 seconds
 * @property {(code: number, reason: string) => void} [onStop] the server said not to come back (4100 to 4199)
 * @property {(code: string, detail: string) => void} [onError] something that was asked was refused
 * @property {any} [env] for tests: where sockets, timers, locks and the document come from
 */

/** The longest name of a user that the server takes. */
const USER_BYTES_MAX = 128;

/** How long a link to another page of this site may take to answer, in milliseconds. */
const MOVING = 10_000;

/** Whose token this is, as far as it says so itself. @param {string} token */
const owner = (token) => {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return claims.user_id ?? claims.sub ?? token;
  } catch {
    return token;
  }
};

/** Connects, and stays connected until `close`. @param {Options} options */
export function connect({ url, token, key, idleAfter = 300_000, hiddenAfter = 5_000, onStop, onError, env = globalThis }) {
  url = new URL(url ?? "/", env.location?.href).href.replace(/\/+$/, "");
  const sync = makeSync();
  /** @type {Set<{ users: Set<string>, tell: (changes: Presence[]) => void }>} */
  const watchers = new Set();
  /** @type {import("./connection.js").Connection | null} */
  let connection = null;
  /** @type {ReturnType<typeof makeTabs> | null} */
  let tabs = null;
  let over = false;
  let movedAt = -Infinity;
  let planned = false;
  /** Whether this tab may have missed what a leader said before it came. */
  let late = true;
  let tooMany = false;

  /** @param {(typeof watchers extends Set<infer W> ? W : never)} watcher @param {Presence[]} changes */
  const deliver = ({ users, tell }, changes) => {
    const theirs = changes.filter((presence) => users.has(presence.user_id));
    try {
      if (theirs.length) tell(theirs);
    } catch (error) {
      env.setTimeout(() => {
        throw error;
      });
    }
  };

  /** @param {import("./sync.js").Frame} frame */
  const take = (frame) => {
    const changes = sync.apply(frame);
    for (const watcher of [...watchers]) if (watchers.has(watcher)) deliver(watcher, changes);
  };

  const mine = () => [...new Set([...watchers].flatMap(({ users }) => [...users]))];

  /** What all tabs together want. */
  const merge = () => {
    const all = [...(tabs?.others.values() ?? [])];
    const left = sync.want([...mine(), ...all.flatMap(({ watch }) => watch)]) > 0;
    if (left && !tooMany) onError?.("too_many_users", `More than ${USERS_MAX} users are watched: the last of them are not.`);
    tooMany = left;
    connection?.activity(activity.active() || all.some(({ active }) => active));
    connection?.watch();
  };

  const tellMine = () => tabs?.mine(mine(), activity.active(), mine().filter((user) => !sync.presences.has(user)));

  /** What this tab wants is not what it was. Many calls in a row are one message. */
  const plan = () => {
    if (planned) return;
    planned = true;
    queueMicrotask(() => {
      planned = false;
      if (over) return;
      tellMine();
      merge();
    });
  };

  /** @param {number} code @param {string} reason */
  const stop = (code, reason) => {
    if (over) return;
    leave(false);
    end();
    onStop?.(code, reason);
  };

  /** Tells the other tabs what is known. @param {string[]} [users] */
  const share = (users = [...sync.presences.keys()]) => {
    const frame = sync.snapshot(users);
    if (frame.presences.length) tabs?.say({ frame });
  };

  const lead = () => {
    merge();
    // Who came while nobody led was not answered.
    share();
    connection = open({
      url: /** @type {string} */ (url),
      token,
      sync,
      env,
      active: activity.active() || [...(tabs?.others.values() ?? [])].some(({ active }) => active),
      told(frame) {
        take(frame);
        tabs?.say({ frame });
      },
      stopped(code, reason) {
        tabs?.say({ stop: [code, reason] });
        stop(code, reason);
      },
      failed: (code, detail) => onError?.(code, detail),
    });
  };

  /** Nobody is there any more, when this was the last tab. @param {boolean} gone */
  const leave = (gone) => {
    connection?.close(gone && !tabs?.others.size, tabs?.together());
    connection = null;
    late = true;
    tabs?.leave();
  };

  const begin = async () => {
    try {
      const first = key ?? (typeof token === "function" ? await token() : token);
      if (over || tabs) return;
      if (!first) return stop(4101, "there is no token");
      tabs = makeTabs({
        name: `presently ${url} ${key ?? owner(first)} `,
        env,
        lead,
        changed: merge,
        asked: (users) => connection && share(users),
        heard({ frame, stop: stopped }) {
          if (stopped) return stop(stopped[0], stopped[1]);
          // The one before said it; the server says it again.
          if (connection) return;
          if (late) sync.lose();
          late = false;
          take(frame);
        },
      });
      tellMine();
      tabs.join();
    } catch {
      env.setTimeout(begin, 1000 + env.Math.random() * 4000);
    }
  };

  const activity = watchActivity({
    idleAfter,
    hiddenAfter,
    env,
    changed(active) {
      plan();
      if (active) connection?.check();
    },
  });

  const check = () => connection?.check();
  const hide = () => leave(env.Date.now() - movedAt > MOVING);
  const show = () => tabs?.join();
  // A page that makes way for another one of the same site is no goodbye.
  const navigate = (/** @type {any} */ { destination, downloadRequest }) => {
    if (!destination.sameDocument && downloadRequest == null && destination.url.startsWith(env.location.origin + "/")) movedAt = env.Date.now();
  };
  const listening = [
    [env, "pagehide", hide],
    [env, "pageshow", show],
    [env, "online", check],
    [env.navigation, "navigate", navigate],
  ];
  for (const [target, name, then] of listening) target?.addEventListener(name, then);

  const end = () => {
    over = true;
    activity.stop();
    watchers.clear();
    for (const [target, name, then] of listening) target?.removeEventListener(name, then);
  };

  begin();

  return {
    /**
     * Watches users. `tell` gets how each of them is, and then every change, each once, in order.
     * @param {string | number | Iterable<string | number>} ids
     * @param {(changes: Presence[]) => void} tell
     * @returns {() => void} ends it
     */
    watch(ids, tell) {
      const list = (typeof ids === "object" ? [...ids] : [ids]).map(String);
      // One name that the server refuses would be refused with all that are asked for beside it.
      const users = new Set(list.filter((user) => user && new TextEncoder().encode(user).length <= USER_BYTES_MAX));
      if (!list.every((user) => users.has(user))) onError?.("invalid_field", `A user's name has 1 to ${USER_BYTES_MAX} bytes.`);
      const watcher = { users, tell };
      watchers.add(watcher);
      queueMicrotask(() => watchers.has(watcher) && deliver(watcher, [...users].flatMap((user) => sync.presences.get(user) ?? [])));
      plan();
      return () => {
        if (watchers.delete(watcher)) plan();
      };
    },
    /** How a watched user is, as far as it is known. @param {string | number} id @returns {Presence | undefined} */
    get: (id) => sync.presences.get(String(id)),
    /** Says what this tab's person does, above what is seen of them; null: what is seen counts again. @param {"active" | "idle" | null} said */
    setActivity: (said) => activity.say(said),
    /** Ends it. When no other tab is left, the person is gone at once. */
    close() {
      if (over) return;
      leave(true);
      end();
    },
  };
}

/** @typedef {ReturnType<typeof connect>} Presently */
