/** What states mean to the eye: a colour, and always the word beside it. */

import { element, say, set } from "./element.js";

const TONES = {
  up: "good",
  playing: "good",
  recording: "good",
  good: "good",
  draining: "warn",
  drain: "warn",
  poor: "warn",
  slow: "warn",
  full: "warn",
  stalled: "warn",
  ready: "calm",
  init: "calm",
  ending: "calm",
  ended: "calm",
  maint: "calm",
  down: "bad",
  unresolved: "bad",
};

/** A state as a word with a coloured dot. */
export class State {
  #word = element("span");
  node = element("span", { class: "mark" }, element("i", { "aria-hidden": "true" }), this.#word);

  show(state) {
    say(this.#word, state);
    set(this.node, "data-tone", TONES[state] ?? "calm");
  }
}
