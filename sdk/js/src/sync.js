/**
 * What is known of the watched users, and up to which point of the stream. Performs no I/O.
 *
 * **Invariant:** a user is in `known` only if everything told of them up to `seq` was applied; so coming back with
 * `resume()` neither loses nor repeats anything. Whoever is not known is asked for anew.
 */

/** @typedef {"online" | "away" | "offline"} Status */
/**
 * @typedef {object} Presence
 * @property {string} user_id
 * @property {Status} status
 * @property {string | null} last_seen when something was last heard of them
 * @property {string | null} since when this status began
 * @property {string} as_of when this was true
 */
/**
 * What the server tells. Without an `epoch` a snapshot has no place in the stream.
 * @typedef {object} Frame
 * @property {"snapshot" | "diff"} type
 * @property {string} [epoch]
 * @property {number} [seq]
 * @property {Presence[]} presences
 */

/** Users named in one message: with the longest names they fit into what the server takes. */
export const USERS_PER_MESSAGE = 3000;
/** Users watched at once, as many as the server allows a connection. Who comes after them is not known. */
export const USERS_MAX = 10_000;

/** @returns an empty book */
export function makeSync() {
  /** @type {Set<string>} */
  let wanted = new Set();
  /** @type {Set<string>} */
  const known = new Set();
  /** @type {Map<string, Presence>} */
  const presences = new Map();
  /** @type {string | undefined} */
  let epoch;
  /** @type {number | undefined} */
  let seq;

  return {
    presences,
    wanted: () => wanted,

    /** Says who is watched from now on; returns how many are too many. @param {Iterable<string>} users */
    want(users) {
      const all = new Set(users);
      wanted = new Set([...all].slice(0, USERS_MAX));
      for (const user of presences.keys()) {
        if (!wanted.has(user)) {
          presences.delete(user);
          known.delete(user);
        }
      }
      return all.size - wanted.size;
    },

    /** Takes what the server tells; returns what changed, in order. @param {Frame} frame @returns {Presence[]} */
    apply(frame) {
      const snapshot = frame.type === "snapshot";
      if (snapshot && frame.epoch !== epoch) known.clear();
      if (snapshot) epoch = frame.epoch;
      seq = frame.seq;
      return frame.presences.filter((presence) => {
        const user = presence.user_id;
        // What was on its way when a user was dropped and taken again is older than the snapshot to come.
        if (!wanted.has(user) || !(snapshot || known.has(user))) return false;
        if (snapshot && epoch) known.add(user);
        const before = presences.get(user);
        presences.set(user, presence);
        return before?.status !== presence.status || before.since !== presence.since;
      });
    },

    /** What was told meanwhile was missed: nobody's place in the stream counts any more. */
    lose: () => known.clear(),

    /** Watched users who are neither known nor asked for, as many as fit into one message. @param {Set<string>} asked */
    fresh: (asked) => [...wanted].filter((user) => !known.has(user) && !asked.has(user)).slice(0, USERS_PER_MESSAGE),

    /** What to come back with. Who does not fit is forgotten, and asked for anew. */
    resume() {
      [...known].slice(USERS_PER_MESSAGE).forEach((user) => known.delete(user));
      return known.size && epoch ? { users: [...known], epoch, seq } : null;
    },

    /** What is known of these users, for a tab that lacks it. @param {string[]} users @returns {Frame} */
    snapshot(users) {
      const theirs = users.flatMap((user) => presences.get(user) ?? []);
      return { type: "snapshot", epoch, seq, presences: theirs.filter(({ user_id }) => !epoch || known.has(user_id)) };
    },
  };
}

/** @typedef {ReturnType<typeof makeSync>} Sync */
