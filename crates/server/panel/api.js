// The way to the server. The token is in a cookie that no script can read; this header says that the panel asks.

const HEADERS = { "X-Presently-Panel": "1" };

/** A refusal, in the server's words. */
export class Refused extends Error {
  /** @param {number} status @param {any} problem */
  constructor(status, problem) {
    super(problem?.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.code = problem?.code ?? "";
    /** @type {Record<string, string[]>} */
    this.errors = problem?.errors ?? {};
  }
}

/** The server could not be reached. */
export class Unreachable extends Error {
  constructor() {
    super("The server does not answer. Trying again.");
  }
}

/** Whether the server said that it is a demo. */
let demo = false;

/** Whether everything here is made up. */
export const isDemo = () => demo;

/** @type {(why: string) => void} */
let signedOut = () => {};

/** Calls `then` when the session is over. @param {(why: string) => void} then */
export function onSignedOut(then) {
  signedOut = then;
}

/** One request as it is. @param {string} method @param {string} path @param {{body?: unknown, signal?: AbortSignal, headers?: Record<string, string>}} [more] */
async function send(method, path, { body, signal, headers } = {}) {
  try {
    const response = await fetch(path, {
      method,
      signal,
      credentials: "same-origin",
      headers: { ...HEADERS, ...headers, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    demo = response.headers.get("X-Presently-Demo") === "true";
    return response;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable();
  }
}

/** @param {Response} response */
async function refusal(response) {
  return new Refused(response.status, await response.json().catch(() => null));
}

/** The part of an access token's time after which it is renewed. */
const RENEW_AFTER = 0.8;
/** How soon a renewal that failed is tried again. */
const RENEW_AGAIN_MS = 5_000;

/** When the session is to be renewed, by this machine's clock. */
let renewAt = Infinity;
/** The longest time that an access token was seen to have, in seconds. */
let lifetime = 0;
/** @type {Promise<boolean> | null} */
let renewing = null;

/** Remembers how long the session lasts. @param {any} told */
function learn(told) {
  renewAt = told.expires_in === null ? Infinity : Date.now() + told.expires_in * 1000 * RENEW_AFTER;
  lifetime = Math.max(lifetime, told.expires_in ?? 0);
  return told;
}

/** What the server tells of the session. That there is none is an answer, and no error in the browser's console. */
async function session() {
  const response = await send("GET", "/admin/session");
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** New cookies for old ones, one tab at a time: a refresh token is good once. Says whether the session goes on. */
function renew() {
  const work = async () => {
    const now = await session();
    // Another tab may have done it.
    if (now.user && now.expires_in > lifetime * (1 - RENEW_AFTER)) return Boolean(learn(now));
    if (!now.renewable) return false;
    const response = await send("POST", "/admin/session/refresh");
    if (response.ok) return Boolean(learn(await response.json()));
    if (response.status === 401 || response.status === 403) return false;
    throw await refusal(response);
  };
  // A page over plain HTTP from elsewhere than localhost has no locks.
  const alone = async () => (navigator.locks ? await navigator.locks.request("presently-renew", work) : await work());
  renewing ??= alone().finally(() => {
    renewing = null;
  });
  return renewing;
}

/** Renews the session before its token is over, so that no request is refused for it. */
async function renewInTime() {
  if (Date.now() < renewAt) return;
  // The token is good for a while: the request itself will tell what is wrong.
  if (!(await renew().catch(() => false))) renewAt = Date.now() + RENEW_AGAIN_MS;
}

/** A response that is good; the session is renewed when it must be. @param {string} method @param {string} path @param {{body?: unknown, signal?: AbortSignal, headers?: Record<string, string>}} [more] */
export async function open(method, path, more) {
  await renewInTime();
  let response = await send(method, path, more);
  if (response.status === 401) {
    renewAt = 0;
    if (await renew()) response = await send(method, path, more);
  }
  if (response.ok) return response;
  const refused = await refusal(response);
  if (response.status === 401) signedOut("Your session is over. Sign in again.");
  if (refused.code === "permission_denied") signedOut("Your account is no administrator's any more.");
  if (refused.code === "account_not_active") signedOut("Your account is not active any more.");
  throw refused;
}

/** An answer. @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function call(method, path, body, signal) {
  const response = await open(method, path, { body, signal });
  return response.status === 204 ? null : response.json();
}

/** @param {string} path @param {AbortSignal} [signal] */
export const get = (path, signal) => call("GET", path, undefined, signal);

/** Who is signed in, or null. */
export async function me() {
  let told = learn(await session());
  if (!told.user && told.renewable && (await renew())) told = await session();
  return told.user;
}

/** @param {string} username @param {string} password */
export async function signIn(username, password) {
  const response = await send("POST", "/admin/session", { body: { username, password } });
  if (!response.ok) throw await refusal(response);
  return learn(await response.json()).user;
}

export async function signOut() {
  const response = await send("DELETE", "/admin/session");
  if (!response.ok) throw await refusal(response);
  renewAt = Infinity;
}
