// Elements without markup: text is always text, so nothing a user typed can become anything else.

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */
/** A child, or some of them, or some of some. @typedef {Child | Child[] | Child[][]} Children */

/** @param {Element} element @param {Record<string, unknown>} attributes @param {Children[]} children */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name === "value" && "value" in element) element.value = /** @type {string} */ (value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...kept(children));
  return element;
}

/** @param {Children[]} children */
function kept(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** @param {string} tag @param {Record<string, unknown>} [attributes] @param {...Children} children @returns {any} */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** @param {string} tag @param {Record<string, unknown>} [attributes] @param {...Children} children @returns {any} */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replaces what is in `element`. @param {Element} element @param {...Children} children */
export function put(element, ...children) {
  element.replaceChildren(...kept(children));
}

/** Sets a text where it is another: screen readers and selections are not disturbed for nothing. @param {Element} element @param {string} text */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Says something for a few seconds, aloud too. @param {string} text */
export function toast(text) {
  const place = document.getElementById("said");
  if (!place) return;
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(Number(place.dataset.timer));
  place.dataset.timer = String(setTimeout(() => place.classList.remove("shown"), 5000));
}

/** The dot and its word. @param {string} status @returns {HTMLElement} */
export function dot(status) {
  return h("span", { class: `dot ${status}` }, status);
}

/** Sets a dot to another status. @param {Element} element @param {string} status @returns {boolean} whether it was another */
export function redot(element, status) {
  if (element.textContent === status) return false;
  element.className = `dot ${status}`;
  element.textContent = status;
  return true;
}

/** A drop-down list. @param {string} label @param {[string, string][]} options @param {string} value @param {(value: string) => void} chosen */
export function choice(label, options, value, chosen) {
  const select = h("select", { "aria-label": label, onchange: () => chosen(select.value) }, options.map(([word, text]) => h("option", { value: word }, text)));
  select.value = value;
  return select;
}
