// The keys of applications.

import { call, get } from "./api.js";
import { ask, tell } from "./dialogs.js";
import { h, put, say, toast } from "./dom.js";
import { ago, exact } from "./time.js";

/** @type {import("./app.js").Page} */
export function showKeys({ place }) {
  let over = false;
  const trouble = h("p", { class: "notice", role: "alert", hidden: true });
  const table = h("div", { class: "scroll card flush" });

  async function load() {
    try {
      const { api_keys } = await get("/api/users/admin/api-keys/");
      if (over) return;
      trouble.hidden = true;
      put(table, api_keys.length ? list(api_keys) : h("p", { class: "empty" }, "No application has a key yet."));
    } catch (error) {
      if (over) return;
      say(trouble, /** @type {Error} */ (error).message);
      trouble.hidden = false;
    }
  }

  /** @param {any[]} keys */
  function list(keys) {
    return h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ["Name", "Begins with", "Made", "Last used", ""].map((title) => h(title ? "th" : "td", title ? { scope: "col" } : {}, title)))),
      h(
        "tbody",
        {},
        keys.map((key) =>
          h(
            "tr",
            { class: key.revoked_at ? "gone" : "" },
            h("th", { scope: "row" }, key.name),
            h("td", {}, h("code", {}, `${key.prefix}…`)),
            h("td", {}, h("time", { datetime: key.created_at }, exact(key.created_at))),
            h("td", {}, ago(key.last_used_at)),
            h("td", { class: "end" }, key.revoked_at ? h("span", { class: "state", title: exact(key.revoked_at) }, "revoked") : h("button", { class: "careful", "aria-label": `Revoke ${key.name}`, onclick: () => revoke(key) }, "Revoke…")),
          ),
        ),
      ),
    );
  }

  async function create() {
    const made = await ask({
      title: "New API key",
      text: "For the back end of an application: it reports evidence of life and asks for presence.",
      fields: [{ name: "name", label: "What is it for?", required: true }],
      yes: "Create",
      act: ({ name }) => call("POST", "/api/users/admin/api-keys/", { name }),
    });
    if (!made) return;
    load();
    const field = h("input", { class: "key", readonly: true, "aria-label": "The key", value: made.key, onfocus: () => field.select() });
    const copy = h("button", { onclick: async () => {
      field.select();
      try {
        await navigator.clipboard.writeText(made.key);
        toast("The key is copied");
      } catch {
        toast("Copy the selected text");
      }
    } }, "Copy");
    await tell(`The key of ${made.name}`, h("p", {}, "It is shown this once, and kept only as a hash. Copy it now."), h("div", { class: "line" }, field, copy));
  }

  /** @param {any} key */
  async function revoke(key) {
    await ask({
      title: `Revoke ${key.name}`,
      text: "The key opens nothing from that moment on. This cannot be undone.",
      yes: "Revoke",
      danger: true,
      act: async () => {
        await call("DELETE", `/api/users/admin/api-keys/${key.id}/`);
        toast(`${key.name} is revoked`);
      },
    });
    load();
  }

  put(place, h("div", { class: "title" }, h("h1", {}, "API keys"), h("span", { class: "grow" }), h("button", { class: "primary", onclick: create }, "New key")), trouble, table);
  load();
  return () => {
    over = true;
  };
}
