// A world for the tests: time that passes when told, sockets and answers that are made by hand, tabs that share locks and
// channels. Nothing here waits for real time.

/** Lets everything that is ready happen. */
export async function settle() {
  for (let i = 0; i < 30; i++) await Promise.resolve();
}

export class Clock {
  now = 1_000_000;
  #timers = new Map();
  #last = 0;
  setTimeout = (then, ms = 0) => {
    this.#timers.set(++this.#last, { at: this.now + ms, then });
    return this.#last;
  };
  clearTimeout = (id) => void this.#timers.delete(id);
  /** Lets time pass, timer by timer. */
  async pass(ms) {
    const until = this.now + ms;
    for (;;) {
      await settle();
      const due = [...this.#timers].filter(([, { at }]) => at <= until).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.now = Math.max(this.now, due[1].at);
      due[1].then();
    }
    this.now = until;
    await settle();
  }
  /** The machine sleeps: time goes on, timers do not, and then all that are due come at once. */
  async sleep(ms) {
    this.now += ms;
    await this.pass(0);
  }
}

export class FakeSocket {
  readyState = 0;
  sent = [];
  closedWith = null;
  constructor(url) {
    this.url = url;
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close(code) {
    this.closedWith = code;
    this.readyState = 3;
  }
  // The server's half.
  async opens() {
    this.readyState = 1;
    this.onopen?.();
    await settle();
  }
  async says(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
    await settle();
  }
  async ready() {
    await this.opens();
    await this.says({ type: "ready", user_id: "4", session: "s/ws-1", heartbeat_interval_ms: 30000 });
  }
  async drops(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
    await settle();
  }
}

export class FakeEvents {
  listeners = {};
  closed = false;
  constructor(url) {
    this.url = new URL(url);
  }
  addEventListener(name, then) {
    this.listeners[name] = then;
  }
  close() {
    this.closed = true;
  }
  async says(name, id, data) {
    this.listeners[name]({ lastEventId: id, data: JSON.stringify(data) });
    await settle();
  }
}

/** Web Locks and BroadcastChannel of one browser. */
export class Browser {
  #held = new Map();
  #channels = new Map();
  locks = {
    request: (name, options, run) =>
      new Promise((resolve, reject) => {
        const queue = this.#held.get(name) ?? [];
        this.#held.set(name, queue);
        const next = () => {
          queue.shift();
          queue[0]?.();
        };
        const start = () => Promise.resolve(run()).then(resolve, reject).finally(next);
        options.signal?.addEventListener("abort", () => {
          const at = queue.indexOf(start);
          if (at > 0) {
            queue.splice(at, 1);
            reject(options.signal.reason);
          }
        });
        queue.push(start);
        if (queue.length === 1) queueMicrotask(start);
      }),
  };
  channel = (name) => {
    const all = this.#channels.get(name) ?? new Set();
    this.#channels.set(name, all);
    const channel = {
      onmessage: null,
      postMessage: (data) => {
        const copy = structuredClone(data);
        for (const other of all) if (other !== channel) queueMicrotask(() => all.has(other) && other.onmessage?.({ data: copy }));
      },
      close: () => all.delete(channel),
    };
    all.add(channel);
    return channel;
  };
}

let ids = 0;

/** What one tab sees. */
export function tab(clock = new Clock(), browser = new Browser()) {
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { hidden: false });
  const world = {
    clock,
    browser,
    sockets: [],
    streams: [],
    requests: [],
    /** Path to an answer. */
    answers: {
      "users/heartbeat/": () => ({}),
      "presence/tickets": () => ({ ticket: "t" }),
      "presence/query": ({ users }) => ({ presences: users.map((user) => presence(user)) }),
      "presence/leave": () => ({}),
    },
    get socket() {
      return world.sockets.at(-1);
    },
    get stream() {
      return world.streams.at(-1);
    },
    async input() {
      page.dispatchEvent(new Event("keydown"));
      await settle();
    },
    async hide(hidden = true) {
      document.hidden = hidden;
      document.dispatchEvent(new Event("visibilitychange"));
      await settle();
    },
    async leaves() {
      page.dispatchEvent(new Event("pagehide"));
      await settle();
    },
    async returns() {
      page.dispatchEvent(new Event("pageshow"));
      await settle();
    },
    async navigates(url) {
      const event = Object.assign(new Event("navigate"), { destination: { url, sameDocument: false }, downloadRequest: null });
      navigation.dispatchEvent(event);
      await settle();
    },
    event(name) {
      page.dispatchEvent(new Event(name));
    },
  };
  const navigation = new EventTarget();
  world.env = {
    document,
    navigation,
    location: { href: "https://chat.example/room", origin: "https://chat.example" },
    navigator: { locks: browser.locks },
    crypto: { randomUUID: () => `tab-${++ids}` },
    Math: { min: Math.min, random: () => 1 },
    Date: { now: () => clock.now },
    setTimeout: clock.setTimeout,
    clearTimeout: clock.clearTimeout,
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
    WebSocket: function (url) {
      const socket = new FakeSocket(url);
      world.sockets.push(socket);
      return socket;
    },
    EventSource: function (url) {
      const stream = new FakeEvents(url);
      world.streams.push(stream);
      return stream;
    },
    BroadcastChannel: function (name) {
      return browser.channel(name);
    },
    async fetch(url, options) {
      const path = url.split("/api/")[1];
      const body = options.body ? JSON.parse(options.body) : undefined;
      world.requests.push({ path, body, keepalive: !!options.keepalive, bearer: options.headers.Authorization });
      const answer = world.answers[path]?.(body);
      if (!answer) throw new TypeError("Failed to fetch");
      return { ok: !answer.status, status: answer.status ?? 200, json: async () => answer };
    },
  };
  return world;
}

/** How a user is. @param {string} user @param {string} [status] @param {number} [since] */
export function presence(user, status = "online", since = 1) {
  return { user_id: user, status, since: `2026-01-01T00:00:${String(since).padStart(2, "0")}Z`, last_seen: null, as_of: "now" };
}
