/**
 * The way to the server: a WebSocket; where that is blocked an event stream with heartbeats; where that is blocked too,
 * heartbeats and questions.
 *
 * **Invariant:** only the newest attempt speaks. `turn` counts attempts, and what an older one left behind (a timer, an
 * answer, an event) finds that its turn is over.
 */

import { USERS_PER_MESSAGE } from "./sync.js";

/** Not a goodbye: the session is kept for whoever comes back. */
const BACK_SOON = 3001;
const GOODBYE = 1000;

const PAUSE_MIN = 1000;
const PAUSE_MAX = 30_000;
/** How long an attempt may take, and an answer. */
const PATIENCE = 10_000;
/** How long users to watch are gathered where each change of them is a new request. */
const GATHER = 200;
/** How often questions are asked where nothing is pushed. */
const POLL_EVERY = 15_000;
/** When the better way is tried again. */
const BETTER_AFTER = 300_000;

const SOCKET = 0;
const EVENTS = 1;
const POLL = 2;

/** An answer that is no success. */
class Refused extends Error {
  /** @param {number} status */
  constructor(status) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

/** @typedef {string | (() => string | null | Promise<string | null>)} Token */

/**
 * @param {object} with_
 * @param {string} with_.url the server
 * @param {Token} with_.token
 * @param {import("./sync.js").Sync} with_.sync
 * @param {boolean} with_.active
 * @param {(frame: import("./sync.js").Frame) => void} with_.told
 * @param {(code: number, reason: string) => void} with_.stopped not to come back
 * @param {(code: string, detail: string) => void} with_.failed something that was asked was refused
 * @param {any} [with_.env] where sockets, `fetch` and timers come from
 */
export function open({ url, token, sync, active, told, stopped, failed, env = globalThis }) {
  let turn = 0;
  let way = SOCKET;
  /** Attempts in a row that came to nothing. */
  let failures = 0;
  /** Sockets in a row that did not open. */
  let blocked = 0;
  /** Whether an event ever came through an event stream. */
  let streams = false;
  /** Whether this turn heard anything of the server by HTTP. */
  let answered = false;
  let beatEvery = 30_000;
  let bearer = "";
  /** Since when there is a connection; 0: there is none. */
  let liveSince = 0;
  let waiting = false;
  let closed = false;
  /** Ends the transport of this turn. @type {(code: number) => void} */
  let end = () => {};
  /** Sends on it. @type {(message: object) => void} */
  let send = () => {};
  /** Users the server watches for this turn. @type {Set<string>} */
  let sent = new Set();
  /** Users asked for and not yet answered. @type {string[] | null} */
  let asking = null;
  /** Whether that is the question of one who comes back. */
  let resuming = false;
  /** @type {any} */
  let patience;

  /** @template T @param {(x: T) => void} then @returns {(x: T) => void} */
  const ours = (then) => {
    const mine = turn;
    return (x) => {
      if (mine === turn) then(x);
    };
  };
  /** @param {number} ms @param {() => void} then */
  const after = (ms, then) => env.setTimeout(ours(then), ms);

  /** @param {() => void} then what happens when nothing is heard in time @param {number} [ms] */
  const expect = (then, ms = PATIENCE) => {
    env.clearTimeout(patience);
    patience = after(ms, then);
  };

  /** Begins a turn. @param {number} [code] */
  const drop = (code = BACK_SOON) => {
    turn++;
    env.clearTimeout(patience);
    const old = end;
    end = send = () => {};
    sent = new Set();
    asking = null;
    resuming = answered = waiting = false;
    if (liveSince && env.Date.now() - liveSince > PATIENCE) failures = 0;
    liveSince = 0;
    old(code);
  };

  const retry = () => {
    drop();
    waiting = true;
    const pause = Math.min(PAUSE_MAX, PAUSE_MIN * 2 ** failures++);
    after(pause * (0.5 + env.Math.random() / 2), start);
  };

  /** @param {number} code @param {string} reason */
  const halt = (code, reason) => {
    drop();
    closed = true;
    stopped(code, reason);
  };

  const start = async () => {
    drop();
    const mine = turn;
    // A token that does not come says nothing of the way.
    expect(retry);
    try {
      const got = await (typeof token === "function" ? token() : token);
      if (mine !== turn) return;
      if (!got) return halt(4101, "there is no token");
      bearer = got;
      expect(lost);
      if (way === SOCKET) bySocket();
      else await byHttp(mine);
    } catch (error) {
      if (mine !== turn) return;
      const status = error instanceof Refused ? error.status : 0;
      if (status === 401) halt(4101, "the token was refused");
      else if (status === 403) halt(4103, "the account is not active");
      else if (way && (!status || status >= 500)) nobody();
      else retry();
    }
  };

  /** Nobody answers, or a proxy in their place: when they do again, the best way is the first to try. */
  const nobody = () => {
    way = SOCKET;
    blocked = 1;
    retry();
  };

  const live = () => {
    env.clearTimeout(patience);
    liveSince = env.Date.now();
  };

  /** The transport of this turn ended, or never began. */
  const lost = () => {
    if (liveSince) return retry();
    if (way && !answered) return nobody();
    if (way === SOCKET ? ++blocked < 2 : way === POLL) return retry();
    way++;
    start();
  };

  const bySocket = () => {
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new env.WebSocket(url.replace(/^http/, "ws") + "/api/presence/ws");
    } catch {
      return lost();
    }
    end = (code) => {
      socket.onopen = () => socket.close(code);
      if (socket.readyState) socket.close(code);
    };
    send = (message) => socket.readyState === 1 && socket.send(JSON.stringify(message));
    socket.onopen = ours(() => send({ type: "auth", token: bearer }));
    socket.onclose = ours(({ code, reason }) => {
      if (code >= 4100 && code < 4200) halt(code, reason);
      else lost();
    });
    socket.onmessage = ours(({ data }) => {
      const message = JSON.parse(data);
      expect(probe, beatEvery);
      if (message.type === "ready") {
        beatEvery = message.heartbeat_interval_ms;
        blocked = 0;
        live();
        expect(probe, beatEvery);
        if (!active) sayActivity();
        const from = sync.resume();
        if (!from) return ask();
        asking = from.users;
        resuming = true;
        sent = new Set(asking);
        send({ type: "watch", ...from });
      } else if (message.type === "error") {
        if (!asking) return;
        failed(message.code, message.detail);
        if (resuming) return retry();
        after(PAUSE_MAX, () => {
          asking?.forEach((user) => sent.delete(user));
          asking = null;
          ask();
        });
      } else if (message.presences) {
        const first = asking?.[0];
        const answer =
          resuming || (message.type === "snapshot" && message.presences.some((/** @type {any} */ p) => p.user_id === first));
        told(message);
        if (!answer) return;
        // Whoever was dropped and taken again while the answer was on its way is not known by it.
        if (resuming) sync.fresh(new Set()).forEach((user) => sent.delete(user));
        asking = null;
        resuming = false;
        ask();
      }
    });
  };

  /** Silence is not the end before the server was asked. */
  const probe = () => {
    expect(retry);
    send({ type: "ping" });
  };

  /** Forgets whom nobody wants any more, so that they are asked for anew when somebody does. */
  const forget = () => {
    const gone = [...sent].filter((user) => !sync.wanted().has(user) && !asking?.includes(user));
    gone.forEach((user) => sent.delete(user));
    return gone;
  };

  /** Brings what the server watches to what is wanted. One question at a time, so that an answer is to that question. */
  const ask = () => {
    if (!liveSince || way !== SOCKET) return;
    for (const gone = forget(); gone.length; ) send({ type: "unwatch", users: gone.splice(0, USERS_PER_MESSAGE) });
    const users = sync.fresh(sent);
    if (asking || !users.length) return;
    users.forEach((user) => sent.add(user));
    asking = users;
    send({ type: "watch", users });
  };

  /** @param {string} path @param {object} [body] @returns {Promise<any>} */
  const post = async (path, body = {}) => {
    const answer = await env.fetch(`${url}/api/${path}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${bearer}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Refused(answer.status);
    return answer.json();
  };

  const beat = () => post("users/heartbeat/", { activity: active ? "active" : "idle" });

  /** @param {number} mine */
  const byHttp = async (mine) => {
    await beat();
    if (mine !== turn) return;
    answered = true;
    after(BETTER_AFTER, () => {
      way = SOCKET;
      blocked = 1;
      start();
    });
    const users = [...sync.wanted()];
    sent = new Set(users);
    const question = new URLSearchParams({ users: users.join(",") });
    if (way === EVENTS && users.length && `${question}`.length < 60_000) {
      const { ticket } = await post("presence/tickets");
      if (mine !== turn) return;
      byEvents(question, ticket);
    } else {
      live();
      if (way === POLL && users.length) {
        const { presences } = await post("presence/query", { users });
        if (mine !== turn) return;
        told({ type: "snapshot", presences });
      }
    }
    again(way === POLL ? POLL_EVERY : beatEvery, mine);
  };

  /** Heartbeats, and questions where nothing is pushed, for as long as this turn lasts. @param {number} every @param {number} mine */
  const again = (every, mine) =>
    after(every, async () => {
      try {
        await beat();
        const users = [...sync.wanted()];
        if (mine === turn && way === POLL && users.length) {
          const { presences } = await post("presence/query", { users });
          if (mine === turn) told({ type: "snapshot", presences });
        }
        if (mine === turn) again(every, mine);
      } catch {
        // A new attempt fetches a new token, and finds out what is wrong.
        if (mine === turn) retry();
      }
    });

  /** @param {URLSearchParams} question @param {string} ticket */
  const byEvents = (question, ticket) => {
    question.set("ticket", ticket);
    const from = sync.resume();
    // A stream that came back may have nothing to say; one that never said anything may be held up by a proxy.
    const resumes = streams && from && !sync.fresh(new Set()).length;
    if (resumes) question.set("last_event_id", `${from.epoch}-${from.seq}`);
    const events = new env.EventSource(`${url}/api/presence/events?${question}`);
    end = () => events.close();
    /** @param {"snapshot" | "diff"} type */
    const take = (type) =>
      ours((/** @type {any} */ event) => {
        streams = true;
        if (!liveSince) live();
        const [epoch, seq] = event.lastEventId.split("-");
        const data = JSON.parse(event.data);
        told({ type, epoch, seq: +seq, presences: data.presences ?? [data] });
        watch();
      });
    events.addEventListener("snapshot", take("snapshot"));
    events.addEventListener("presence", take("diff"));
    if (resumes) {
      events.onopen = ours(() => {
        live();
        watch();
      });
    }
    events.onerror = ours(lost);
  };

  const sayActivity = () => {
    if (way === SOCKET) send({ type: "activity", activity: active ? "active" : "idle" });
    // The login has a session of its own, which each request of the page renews as it was: it must be idle as well.
    if (liveSince && (way || !active)) beat().catch(() => {});
  };

  const watch = () => {
    if (way === SOCKET) return ask();
    forget();
    // Users that come one by one are one new attempt.
    if (liveSince && !asking && sync.fresh(sent).length) {
      asking = [];
      after(GATHER, start);
    }
  };

  start();

  return {
    /** Whom to watch has changed. */
    watch,
    /** @param {boolean} now */
    activity(now) {
      if (now === active || closed) return;
      active = now;
      sayActivity();
    },
    /** Something may have happened to the network: looks at once. */
    check() {
      if (closed) return;
      if (waiting) start();
      else if (liveSince && way === SOCKET) probe();
    },
    /**
     * @param {boolean} goodbye whether the person has gone, or only this connection
     * @param {boolean} [wholly] whether the login has no other page that the server hears of
     */
    close(goodbye, wholly) {
      drop(goodbye ? GOODBYE : BACK_SOON);
      if (closed || !goodbye || !wholly || !bearer) return;
      closed = true;
      const headers = { Authorization: `Bearer ${bearer}` };
      env.fetch(`${url}/api/presence/leave`, { method: "POST", keepalive: true, headers }).catch(() => {});
    },
  };
}

/** @typedef {ReturnType<typeof open>} Connection */
