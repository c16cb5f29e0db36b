/** What happened lately to backends and the daemon, newest first. */

import { element, Rows } from "./element.js";
import { time } from "./format.js";

const KEPT = 30;

/** Events that an operator looks up for, and how bad they are. */
const TONES = {
  backend_down: "bad",
  backend_lost: "bad",
  service_failing: "bad",
  resets_withheld: "bad",
  vip_claimed: "bad",
  daemon_fault: "bad",
  config_refused: "bad",
  map_filling: "warn",
  checks_hindered: "warn",
  vip_unheard: "warn",
  attach_notice: "warn",
  lines_dropped: "warn",
  session_stalled: "warn",
  connection_reset: "warn",
  tracker_full: "warn",
  backend_up: "good",
  backend_resolved: "good",
  config_reloaded: "calm",
  daemon_started: "calm",
  network_restored: "calm",
};

export class Happenings {
  #lines = [];
  #taken = 0;
  #rows;
  #none = element("p", { class: "dim" }, "Nothing since this page was opened.");
  #deafen;

  constructor(live) {
    const list = element("ol");
    this.node = element(
      "section",
      { class: "panel happenings", "aria-labelledby": "happenings" },
      element("header", {}, element("h2", { id: "happenings" }, "What happened")),
      this.#none,
      list,
    );
    this.#rows = new Rows(list, makeLine);
    this.#deafen = live.listen((line) => this.#take(line));
  }

  end() {
    this.#deafen();
  }

  #take(line) {
    if (!toneOf(line)) return;
    this.#taken += 1;
    this.#lines = [{ ...line, number: this.#taken }, ...this.#lines].slice(0, KEPT);
    this.#none.hidden = true;
    this.#rows.show(this.#lines, (one) => one.number);
  }
}

function toneOf(line) {
  if (line.event === "standing_changed") return line.standing === "good" ? "good" : "warn";
  if (line.event === "health_changed") return line.passing ? "good" : "warn";
  if (/^(backend|drain)_/.test(line.event) && !(line.event in TONES)) return "calm";
  return TONES[line.event];
}

function makeLine(line) {
  const where = line.session
    ? element("a", { href: `#/sessions/${encodeURIComponent(line.session)}` }, line.client)
    : [line.service, line.backend].filter(Boolean).join("/");
  const node = element(
    "li",
    { "data-tone": toneOf(line), title: line.time },
    element("time", { datetime: line.time }, time(Date.parse(line.time) / 1000)),
    element("b", {}, element("i", { "aria-hidden": "true" }), line.event.replaceAll("_", " ")),
    element("span", {}, where),
    element("span", { class: "why" }, line.problem || (line.changes ?? line.mistakes ?? []).join("; ")),
  );
  return { node, update() {} };
}
