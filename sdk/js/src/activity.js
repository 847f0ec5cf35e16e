/**
 * Whether somebody is at this tab. **Idle means: no input for `idleAfter`, or hidden for `hiddenAfter`.**
 *
 * Times are read, not counted: a timer that a browser slowed down, or that slept with the machine, is only late.
 */

/** Not `scroll`, nor the focus of an element: a page does these itself, when a message comes. */
const INPUTS = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"];

/**
 * @param {object} with_
 * @param {number} with_.idleAfter milliseconds
 * @param {number} with_.hiddenAfter milliseconds
 * @param {(active: boolean) => void} with_.changed
 * @param {any} [with_.env] where `document`, timers and `now` come from
 */
export function watchActivity({ idleAfter, hiddenAfter, changed, env = globalThis }) {
  const { document, Date } = env;
  let lastInput = Date.now();
  let hiddenAt = document.hidden ? lastInput : Infinity;
  let active = true;
  /** @type {boolean | undefined} what the page said, above what is seen */
  let said;
  /** @type {any} */
  let timer;

  const look = () => {
    env.clearTimeout(timer);
    const left = Math.min(lastInput + idleAfter, hiddenAt + hiddenAfter) - Date.now();
    if (left > 0) timer = env.setTimeout(look, left);
    const now = said ?? left > 0;
    if (now !== active) changed((active = now));
  };
  const input = () => {
    lastInput = Date.now();
    if (!active) look();
  };
  const shown = () => {
    hiddenAt = document.hidden ? Date.now() : Infinity;
    if (!document.hidden) lastInput = Date.now();
    look();
  };

  for (const name of INPUTS) env.addEventListener(name, input, { passive: true, capture: true });
  env.addEventListener("focus", input);
  document.addEventListener("visibilitychange", shown);
  look();

  return {
    active: () => active,
    /** @param {"active" | "idle" | null} activity null: what is seen counts again */
    say(activity) {
      said = activity ? activity === "active" : undefined;
      look();
    },
    stop() {
      env.clearTimeout(timer);
      for (const name of INPUTS) env.removeEventListener(name, input, { capture: true });
      env.removeEventListener("focus", input);
      document.removeEventListener("visibilitychange", shown);
    },
  };
}
