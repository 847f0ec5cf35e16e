// What an admin can do to a user: each asked before it is done, and shown at once after it.

import { call } from "./api.js";
import { ask } from "./dialogs.js";
import { toast } from "./dom.js";

/** @param {any} user @param {string} [act] */
const path = (user, act) => `/api/users/admin/users/${user.id}/${act ? `${act}/` : ""}`;

const REASON = { name: "reason", label: "Reason (kept in the audit log)" };

/** Acts that take nothing but a reason. */
const ACTS = {
  "force-logout": { word: "Force logout", yes: "Log out everywhere", danger: true, text: "Every session ends and every token stops working, at once. They can sign in again." },
  suspend: { word: "Suspend", yes: "Suspend", danger: true, text: "Offline at once on every surface, every session ended, until the account is activated." },
  ban: { word: "Ban", yes: "Ban", danger: true, text: "Offline at once on every surface, every session ended, until the account is activated." },
  activate: { word: "Activate", yes: "Activate", danger: false, text: "The account may sign in and be present again." },
  approve: { word: "Approve", yes: "Approve", danger: false, text: "A pending account becomes active." },
};

/** @param {any} user @param {keyof typeof ACTS} act @param {() => void} then */
function simple(user, act, then) {
  const { word, yes, danger, text } = ACTS[act];
  return ask({
    title: `${word}: ${user.username}`,
    text,
    fields: [REASON],
    yes,
    danger,
    act: async ({ reason }) => done(await call("POST", path(user, act), reason ? { reason } : {}), then),
  });
}

/** @param {any} answer @param {() => void} then */
function done(answer, then) {
  if (answer?.message) toast(answer.message);
  then();
}

/** @param {any} user @param {() => void} then */
function setStatus(user, then) {
  return ask({
    title: `Set the status of ${user.username}`,
    text: "With an end it stands on top of what the sessions say, until then. Without one it holds until the user is next heard of.",
    fields: [
      { name: "status", label: "Status", options: [["online", "Online"], ["away", "Away"], ["offline", "Offline"], ["", "Clear: what the sessions say"]], value: user.online_status },
      { name: "expires_in", label: "Until", options: [["", "the user is next heard of"], ["900", "15 minutes from now"], ["3600", "an hour from now"], ["28800", "8 hours from now"], ["86400", "a day from now"], ["604800", "a week from now"]], value: "3600" },
    ],
    yes: "Set status",
    act: async ({ status, expires_in }) => {
      const body = status === "" ? { status: null } : expires_in ? { status, expires_in: Number(expires_in) } : { status };
      return done(await call("POST", path(user, "set-online-status"), body), then);
    },
  });
}

/** @param {any} user @param {() => void} then */
function changeRole(user, then) {
  return ask({
    title: `Change the role of ${user.username}`,
    fields: [{ name: "role", label: "Role", options: [["user", "User"], ["moderator", "Moderator"], ["admin", "Admin"]], value: user.role, hint: user.is_staff ? "Staff: an administrator whatever the role." : undefined }],
    yes: "Change role",
    act: async ({ role }) => {
      await call("PATCH", path(user), { role });
      done({ message: `${user.username} is ${role} now` }, then);
    },
  });
}

/** @param {any} user @param {any} session @param {() => void} then */
export function endSession(user, session, then) {
  return ask({
    title: `End a session of ${user.username}`,
    text: "The login it belongs to ends with all its tabs and sockets, and its tokens stop working, at once. They can sign in again.",
    yes: "End the session",
    danger: true,
    act: async () => {
      await call("DELETE", path(user, `sessions/${encodeURIComponent(session.id)}`));
      done({ message: `A session of ${user.username} has ended` }, then);
    },
  });
}

/** @param {any} user @param {() => void} then */
function erase(user, then) {
  return ask({
    title: `Delete ${user.username}`,
    text: "The account goes with its presence and its history. This cannot be undone.",
    yes: "Delete for good",
    danger: true,
    act: async () => {
      await call("DELETE", path(user));
      done({ message: `${user.username} is deleted` }, then);
      return true;
    },
  });
}

/**
 * What can be done to this user now, in the order of the buttons.
 * @param {any} user @param {any} me @param {() => void} then @param {() => void} gone
 * @returns {{word: string, danger: boolean, ask: () => void}[]}
 */
export function actions(user, me, then, gone) {
  const active = user.display_status === "active";
  const self = user.id === me.id;
  /** @param {keyof typeof ACTS} act */
  const one = (act) => ({ word: `${ACTS[act].word}…`, danger: ACTS[act].danger, ask: () => simple(user, act, then) });
  return [
    { word: "Set status…", danger: false, ask: () => setStatus(user, then) },
    ...(user.status === "pending" ? [one("approve")] : []),
    ...(active ? [] : [one("activate")]),
    { word: "Change role…", danger: false, ask: () => changeRole(user, then) },
    one("force-logout"),
    ...(self || user.status === "suspended" ? [] : [one("suspend")]),
    ...(self || user.status === "banned" ? [] : [one("ban")]),
    ...(self ? [] : [{ word: "Delete…", danger: true, ask: () => erase(user, gone) }]),
  ];
}

/** @param {() => void} then */
export function createUser(then) {
  return ask({
    title: "New user",
    fields: [
      { name: "username", label: "Username", required: true },
      { name: "email", label: "E-mail", type: "email" },
      { name: "password", label: "Password", type: "password", required: true, autocomplete: "new-password", hint: "They can be told it once; it is kept only as a hash." },
      { name: "role", label: "Role", options: [["user", "User"], ["moderator", "Moderator"], ["admin", "Admin"]] },
      { name: "status", label: "Account", options: [["active", "Active"], ["pending", "Pending: must be approved"]] },
    ],
    yes: "Create",
    act: async (values) => {
      const user = await call("POST", "/api/users/admin/users/", values);
      done({ message: `${user.username} is created` }, then);
      return user;
    },
  });
}
