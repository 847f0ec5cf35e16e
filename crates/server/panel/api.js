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

/** @type {Promise<boolean> | null} */
let refreshing = null;

/** New cookies for old ones, one tab at a time: a refresh token is good once. Says whether the session goes on. */
function refresh() {
  const work = async () => {
    // Another tab may have done it; this call is no evidence of anything.
    if ((await send("GET", "/api/users/heartbeat/")).ok) return true;
    return (await send("POST", "/admin/session/refresh")).ok;
  };
  // A page over plain HTTP from elsewhere than localhost has no locks.
  const alone = async () => (navigator.locks ? await navigator.locks.request("presently-refresh", work) : await work());
  refreshing ??= alone().finally(() => {
    refreshing = null;
  });
  return refreshing;
}

/** A response that is good; the session is refreshed when it must be. @param {string} method @param {string} path @param {{body?: unknown, signal?: AbortSignal, headers?: Record<string, string>}} [more] */
export async function open(method, path, more) {
  let response = await send(method, path, more);
  if (response.status === 401 && (await refresh())) response = await send(method, path, more);
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
  const path = "/api/users/profile/";
  let response = await send("GET", path);
  if (response.status === 401 && (await refresh())) response = await send("GET", path);
  return response.ok ? response.json() : null;
}

/** @param {string} username @param {string} password */
export async function signIn(username, password) {
  const response = await send("POST", "/admin/session", { body: { username, password } });
  if (!response.ok) throw await refusal(response);
  return response.json();
}

export async function signOut() {
  const response = await send("DELETE", "/admin/session");
  if (!response.ok) throw await refusal(response);
}
