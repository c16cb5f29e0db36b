/**
 * Elements made by hand, and kept while what they show changes.
 *
 * Words become text and nothing else: whatever a player put into a URL or a User-Agent stays text.
 */

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`onclick` and such are listeners) and children, nodes or words. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function drawing(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else set(made, name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Set an attribute, or remove it with `null` or `false`; untouched if it has the value already. */
export function set(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value === true ? "" : value);
}

/** Put words into a node; untouched if it has them already, so that a selection survives. */
export function say(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/**
 * The children of one parent, one for each value: made once, then brought up to date in place, so that focus,
 * selection and scroll position stay.
 *
 * make(value): gives `{ node, update(value) }`
 */
export class Rows {
  #parent;
  #make;
  #rows = new Map();

  constructor(parent, make) {
    this.#parent = parent;
    this.#make = make;
  }

  /** Show these values in this order; `name` tells them apart. */
  show(values, name) {
    const before = this.#rows;
    this.#rows = new Map();
    for (const value of values) {
      const key = name(value);
      const row = before.get(key) ?? this.#make(value);
      before.delete(key);
      this.#rows.set(key, row);
      row.update(value);
    }
    for (const row of before.values()) row.node.remove();
    let place = this.#parent.firstElementChild;
    for (const { node } of this.#rows.values()) {
      if (node === place) place = place.nextElementSibling;
      else this.#parent.insertBefore(node, place);
    }
  }
}

/** Tell those who do not see the page. */
export function announce(words) {
  say(document.getElementById("announcer"), words);
}
