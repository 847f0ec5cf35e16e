/** The hook. **It never shows a user whom its component no longer asks for.** */
import { useEffect, useState } from "react";

/** @typedef {import("./sync.js").Presence} Presence */

/**
 * How these users are, by id; whoever is not known yet is absent.
 * @param {import("./index.js").Presently | null | undefined} presence
 * @param {string | number | Iterable<string | number>} ids
 * @returns {Record<string, Presence>}
 */
export function usePresence(presence, ids) {
  const users = (typeof ids === "object" ? [...ids] : [ids]).map(String);
  const key = JSON.stringify(users);
  const [, again] = useState(0);
  useEffect(() => presence?.watch(JSON.parse(key), () => again((n) => n + 1)), [presence, key]);
  return Object.fromEntries(users.flatMap((user) => {
    const known = presence?.get(user);
    return known ? [[user, known]] : [];
  }));
}
