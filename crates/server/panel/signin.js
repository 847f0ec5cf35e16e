// Signing in.

import { isDemo, signIn } from "./api.js";
import { h, put, say } from "./dom.js";

/** @param {HTMLElement} place @param {string} why @param {(user: any) => void} then */
export function showSignIn(place, why, then) {
  const said = h("p", { class: "refusal", role: "alert" }, why);
  const username = h("input", { id: "username", name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const button = h("button", { class: "primary" }, "Sign in");
  const form = h(
    "form",
    {
      class: "card",
      method: "post",
      action: "/admin/session",
      onsubmit: async (/** @type {Event} */ event) => {
        event.preventDefault();
        button.disabled = true;
        say(said, "");
        try {
          then(await signIn(username.value, password.value));
        } catch (error) {
          say(said, /** @type {Error} */ (error).message.replace(" Trying again.", ""));
          password.select();
        } finally {
          button.disabled = false;
        }
      },
    },
    h("h1", {}, h("img", { src: "/admin/icon.svg", alt: "", width: 28, height: 28 }), "Presently"),
    h("p", { class: "soft" }, "Who is online, as it happens. For administrators."),
    isDemo() && h("p", { class: "demo" }, "A demo: everybody here is made up. Sign in as admin with the password demo-demo-demo."),
    h("label", { for: "username" }, "Username"),
    username,
    h("label", { for: "password" }, "Password"),
    password,
    said,
    button,
  );
  document.title = "Sign in · Presently";
  put(place, h("main", { class: "signin" }, form));
  username.focus();
}
