/**
 * All tabs of a browser as one. **Invariant:** who holds the lock `name` leads, and nobody else connects; who holds the
 * lock of a tab is that tab, so a tab that closes or crashes is missed at once, without a word of its own.
 *
 * Where there are no locks (a page without TLS), each tab is alone and leads itself.
 */

/**
 * @typedef {object} Tab
 * @property {string} id
 * @property {string[]} watch
 * @property {boolean} active
 * @property {boolean} [hello] it is new here, and knows nothing
 * @property {string[]} [lacks] users whom it watches and does not know
 */

/**
 * @param {object} with_
 * @param {string} with_.name the same in all tabs that belong together
 * @param {() => void} with_.lead this tab leads from now on
 * @param {() => void} with_.changed the other tabs are not what they were
 * @param {(users?: string[]) => void} with_.asked a tab does not know these users, or is new and knows nothing
 * @param {(message: any) => void} with_.heard what the leader says
 * @param {any} [with_.env] where locks and channels come from
 */
export function makeTabs({ name, lead, changed, asked, heard, env = globalThis }) {
  /** @type {Map<string, Tab>} the records are messages of other tabs, the last of each */
  const others = new Map();
  let id = "";
  let watch = /** @type {string[]} */ ([]);
  let active = true;
  /** @type {any} */
  let channel;
  /** @type {AbortController} */
  let membership;
  let joined = false;

  const tellMine = (more = {}) => channel?.postMessage({ id, watch, active, ...more });

  /** Waits for a lock, and holds it until this tab leaves. @param {string} lock @param {() => void} then */
  const hold = (lock, then) => {
    const { signal } = membership;
    const holding = () => {
      if (signal.aborted) return;
      then();
      return new Promise((release) => signal.addEventListener("abort", release));
    };
    env.navigator.locks.request(lock, { signal }, holding).catch(() => {});
  };

  return {
    others,
    /** Whether tabs know of each other at all. */
    together: () => !!channel,

    join() {
      if (joined) return;
      joined = true;
      membership = new AbortController();
      const { signal } = membership;
      if (!env.navigator.locks || !env.BroadcastChannel) return lead();
      id = env.crypto.randomUUID();
      channel = new env.BroadcastChannel(name);
      channel.onmessage = (/** @type {any} */ { data }) => {
        if (!data.id) return heard(data);
        const isNew = !others.has(data.id);
        others.set(data.id, data);
        if (isNew) {
          const gone = () => {
            if (!signal.aborted && others.delete(data.id)) changed();
          };
          env.navigator.locks.request(name + data.id, { signal }, gone).catch(() => {});
        }
        if (data.hello) {
          tellMine();
          asked();
        } else if (data.lacks?.length) asked(data.lacks);
        changed();
      };
      hold(name + id, () => {
        tellMine({ hello: true });
        hold(name, lead);
      });
    },

    /** What this tab wants, for whoever leads. @param {string[]} nowWatch @param {boolean} nowActive @param {string[]} lacks */
    mine(nowWatch, nowActive, lacks) {
      watch = nowWatch;
      active = nowActive;
      tellMine({ lacks });
    },

    /** Says it to all other tabs. @param {object} message */
    say: (message) => channel?.postMessage(message),

    leave() {
      if (!joined) return;
      joined = false;
      membership.abort();
      channel?.close();
      channel = undefined;
      others.clear();
    },
  };
}
