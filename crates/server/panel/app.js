// The panel: who is signed in, which page is shown, and the frame around it.

import { isDemo, me, onSignedOut, signOut } from "./api.js";
import { h, put, toast } from "./dom.js";
import { showSignIn } from "./signin.js";
import { showAudit } from "./audit.js";
import { showKeys } from "./keys.js";
import { showOverview } from "./overview.js";
import { showUser } from "./user.js";
import { showUsers } from "./users.js";

/** @typedef {{place: HTMLElement, path: string[], query: URLSearchParams, me: any}} Visit */
/** Shows a page, and returns what ends it. @typedef {(visit: Visit) => () => void} Page */

/** @type {{name: string, title: string, show: Page}[]} */
const PAGES = [
  { name: "overview", title: "Overview", show: showOverview },
  { name: "users", title: "Users", show: (visit) => (visit.path[1] ? showUser(visit) : showUsers(visit)) },
  { name: "keys", title: "API keys", show: showKeys },
  { name: "audit", title: "Audit log", show: showAudit },
];

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
const main = h("main", { id: "main", tabindex: "-1" });
/** @type {() => void} */
let leave = () => {};
/** @type {any} */
let user = null;

function frame() {
  const links = PAGES.map((page) => h("a", { href: `#/${page.name}`, "data-page": page.name }, page.title));
  put(
    app,
    h("a", { class: "skip", href: "#main", onclick: (/** @type {Event} */ event) => (event.preventDefault(), main.focus()) }, "Skip to the content"),
    h(
      "header",
      { class: "side" },
      h("a", { class: "brand", href: "#/overview" }, h("img", { src: "/admin/icon.svg", alt: "", width: 22, height: 22 }), "Presently"),
      h("nav", { "aria-label": "Pages" }, links, h("a", { href: "/admin/troubleshooting" }, "Troubleshooting")),
      isDemo() && h("p", { class: "demo" }, "A demo: everybody here is made up, and nothing is kept."),
      h("div", { class: "who" }, h("a", { href: `#/users/${user.id}`, class: "soft" }, user.username), h("button", { class: "quiet", onclick: end }, "Sign out")),
    ),
    main,
  );
}

async function end() {
  try {
    await signOut();
    ask("");
  } catch (error) {
    toast(/** @type {Error} */ (error).message);
  }
}

/** @param {string} why */
function ask(why) {
  leave();
  leave = () => {};
  user = null;
  for (const dialog of document.querySelectorAll("dialog")) dialog.remove();
  showSignIn(app, why, begin);
}

/** @param {any} signedIn */
function begin(signedIn) {
  user = signedIn;
  frame();
  route();
}

function route() {
  if (!user) return;
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean);
  const page = PAGES.find((known) => known.name === parts[0]) ?? PAGES[0];
  leave();
  for (const link of app.querySelectorAll("nav a")) {
    if (link.getAttribute("data-page") === page.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page.title} · Presently`;
  put(main);
  window.scrollTo(0, 0);
  leave = page.show({ place: main, path: parts, query: new URLSearchParams(query ?? ""), me: user });
  main.focus({ preventScroll: true });
}

onSignedOut((why) => user && ask(why));
addEventListener("hashchange", route);

try {
  const signedIn = await me();
  if (signedIn && (signedIn.is_staff || signedIn.role === "admin")) begin(signedIn);
  else ask("");
} catch {
  ask("The server does not answer.");
}
