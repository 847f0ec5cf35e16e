/**
 * `<presence-dot user="5">`: a dot that turns. **It says in words what it shows in colour.**
 *
 * ```js
 * import { PresenceDot } from "presently/dot";
 * PresenceDot.presence = connect({ token });
 * ```
 * Colours: `--presence-online`, `--presence-away`, `--presence-offline`. A `presence` event tells each change.
 */

const STYLE = `
:host { display: inline-block; width: .65em; height: .65em; border-radius: 50%; box-sizing: border-box; vertical-align: baseline;
  border: .13em solid var(--presence-offline, #8a8f98); }
:host([status=online]) { background: var(--presence-online, #1a9c4b); border-color: var(--presence-online, #1a9c4b); }
:host([status=away]) { border-color: var(--presence-away, #c77f00); background: linear-gradient(90deg, var(--presence-away, #c77f00) 50%, transparent 50%); }
:host([hidden]) { display: none; }
`;

export class PresenceDot extends HTMLElement {
  static observedAttributes = ["user"];

  /** @type {import("./index.js").Presently | null} */
  static #presence = null;
  /** @type {Set<PresenceDot>} */
  static #dots = new Set();
  /** One sheet for all of them. @type {CSSStyleSheet | undefined} */
  static #sheet;
  /** @type {(() => void) | undefined} */
  #unwatch;

  /** What all dots of the page look at. */
  static get presence() {
    return PresenceDot.#presence;
  }
  static set presence(presence) {
    PresenceDot.#presence = presence;
    for (const dot of PresenceDot.#dots) dot.#look();
  }

  connectedCallback() {
    if (!this.shadowRoot) {
      if (!PresenceDot.#sheet) {
        PresenceDot.#sheet = new CSSStyleSheet();
        PresenceDot.#sheet.replaceSync(STYLE);
      }
      this.attachShadow({ mode: "open" }).adoptedStyleSheets = [PresenceDot.#sheet];
    }
    if (!this.hasAttribute("role")) this.setAttribute("role", "img");
    PresenceDot.#dots.add(this);
    this.#look();
  }

  disconnectedCallback() {
    PresenceDot.#dots.delete(this);
    this.#unwatch?.();
    this.#unwatch = undefined;
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#look();
  }

  #look() {
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#show();
    const user = this.getAttribute("user");
    if (!user) return;
    this.#unwatch = PresenceDot.presence?.watch(user, (changes) => {
      for (const detail of changes) {
        this.#show(detail);
        this.dispatchEvent(new CustomEvent("presence", { detail, bubbles: true }));
      }
    });
  }

  /** @param {import("./sync.js").Presence} [presence] */
  #show(presence) {
    this.toggleAttribute("status", false);
    if (presence) this.setAttribute("status", presence.status);
    const seen = presence?.last_seen && presence.status === "offline" ? `, last seen ${new Date(presence.last_seen).toLocaleString()}` : "";
    const words = (presence?.status ?? "unknown") + seen;
    this.setAttribute("aria-label", words);
    this.title = words;
  }
}

// A page may load this twice, from the package and from the server: the first stays.
if (!customElements.get("presence-dot")) customElements.define("presence-dot", PresenceDot);
