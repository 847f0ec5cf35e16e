// Questions before anything is done. Each is a dialog of the browser: Escape leaves it, and the focus goes back where it was.

import { Refused } from "./api.js";
import { h, put, say } from "./dom.js";

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {string} [type]
 * @property {string} [value]
 * @property {[string, string][]} [options]
 * @property {boolean} [required]
 * @property {string} [hint]
 * @property {string} [autocomplete]
 */

let dialogs = 0;

/**
 * Asks, and does it when the answer is yes; a refusal is shown where it was asked. Resolves when the dialog is left, with what `act` returned.
 * @template T
 * @param {{title: string, text?: string, fields?: Field[], yes: string, danger?: boolean, act: (values: Record<string, string>) => Promise<T>}} question
 * @returns {Promise<T | undefined>}
 */
export function ask({ title, text, fields = [], yes, danger = false, act }) {
  const number = ++dialogs;
  /** @type {Map<string, {input: any, error: HTMLElement}>} */
  const inputs = new Map();
  const said = h("p", { class: "refusal", role: "alert" });
  const button = h("button", { class: danger ? "danger" : "primary" }, yes);
  const rows = fields.map((field) => {
    const id = `field-${number}-${field.name}`;
    const attributes = { id, name: field.name, required: field.required, "aria-describedby": `${id}-error`, autocomplete: field.autocomplete ?? "off" };
    const input = field.options
      ? h("select", attributes, field.options.map(([value, words]) => h("option", { value }, words)))
      : h("input", { ...attributes, type: field.type ?? "text" });
    if (field.value !== undefined) input.value = field.value;
    const error = h("p", { class: "refusal", id: `${id}-error` });
    inputs.set(field.name, { input, error });
    return h("div", { class: "field" }, h("label", { for: id }, field.label), input, field.hint ? h("p", { class: "hint soft" }, field.hint) : null, error);
  });
  return new Promise((resolve) => {
    /** @type {T | undefined} */
    let outcome;
    const dialog = h("dialog", { "aria-labelledby": `dialog-${number}`, "aria-describedby": text ? `dialog-${number}-text` : null });
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      button.disabled = true;
      say(said, "");
      for (const { error } of inputs.values()) say(error, "");
      try {
        outcome = await act(Object.fromEntries([...inputs].map(([name, { input }]) => [name, input.value])));
        dialog.close();
      } catch (error) {
        let left = /** @type {Error} */ (error).message;
        if (error instanceof Refused) {
          for (const [name, sentences] of Object.entries(error.errors)) {
            const field = inputs.get(name);
            if (!field) continue;
            say(field.error, sentences.join(" "));
            field.input.focus();
            left = "";
          }
        }
        say(said, left);
      } finally {
        button.disabled = false;
      }
    };
    put(
      dialog,
      h(
        "form",
        { method: "dialog", onsubmit: submit },
        h("h2", { id: `dialog-${number}` }, title),
        text ? h("p", { id: `dialog-${number}-text` }, text) : null,
        rows,
        said,
        h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button),
      ),
    );
    open(dialog, () => resolve(outcome));
    // What is dangerous is not one Return away.
    if (danger && !fields.length) dialog.querySelector(".buttons button")?.focus();
  });
}

/** Shows something once. @param {string} title @param {...Node} content */
export function tell(title, ...content) {
  const number = ++dialogs;
  const dialog = h("dialog", { "aria-labelledby": `dialog-${number}` });
  put(dialog, h("h2", { id: `dialog-${number}` }, title), content, h("div", { class: "buttons" }, h("button", { class: "primary", onclick: () => dialog.close() }, "Done")));
  return new Promise((resolve) => open(dialog, () => resolve(undefined)));
}

/** @param {any} dialog @param {() => void} closed */
function open(dialog, closed) {
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
}
