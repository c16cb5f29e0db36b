/** Services and their backends at a glance: how each stands, what it carries, how well it arrives. */

import { actionsFor } from "./actions.js";
import { loss, rates, series } from "./course.js";
import { element, Rows, say, set } from "./element.js";
import { count, duration, jitter, lapse, NOTHING, percent, rate, ratio } from "./format.js";
import { Happenings } from "./happenings.js";
import { Plot } from "./plot.js";
import { Sparkline } from "./sparkline.js";
import { State } from "./states.js";

const PLOT_S = 15 * 60;
const PLOT_MIN_S = 2 * 60;

/** What the daemon counts that should stay 0, and what it means when it does not. */
const TROUBLES = {
  faults: "faults of the daemon itself were survived; the log has them as daemon_fault",
  pins_refused: "changes were refused by the forwarding core: is a map full?",
  reinjections_failed: "requests could not be sent on, and came again a moment later",
  lines_dropped: "lines of the session log were lost: its disk is slow or full",
  journal_failed: "writes of the journal failed: sessions would be lost at a restart",
};

/** The view; gives a function that ends it. */
export function overview(main, pulse, live) {
  const troubles = element("ul", { class: "troubles", "aria-label": "What needs attention" });
  const services = element("div", { class: "services" });
  const daemon = element("p", { class: "daemon" });
  const happenings = new Happenings(live);
  const content = element("div", { hidden: true }, troubles, services, happenings.node, daemon);
  main.append(element("h1", { class: "hidden" }, "Overview"), content);

  const panels = new Set();
  const panelRows = new Rows(services, (service) => {
    const panel = new ServicePanel(service, () => pulse.refresh());
    panels.add(panel);
    return panel;
  });
  const troubleRows = new Rows(troubles, () => {
    const node = element("li");
    return { node, update: ({ words }) => say(node, words) };
  });

  const deafen = pulse.listen(({ status, services: told }) => {
    if (!status) return;
    content.hidden = false;
    panelRows.show(told, (one) => one.name);
    troubleRows.show([...troubled(status, told)], (one) => one.name);
    const modes = Object.entries(status.modes).map(([name, mode]) => `${name} (${mode} XDP)`);
    say(
      daemon,
      `Daemon up ${duration(status.uptime_s)} on ${modes.join(", ")}; ${count(status.pins)} of ${count(status.pins_max)} pins in use.`,
    );
  });
  return () => {
    deafen();
    happenings.end();
    for (const panel of panels) panel.end();
  };
}

function* troubled(status, services) {
  for (const [name, meaning] of Object.entries(TROUBLES)) {
    if (status[name]) yield { name, words: `${count(status[name])} ${meaning}` };
  }
  if (status.pins > 0.8 * status.pins_max) {
    yield {
      name: "pins",
      words: `${percent(status.pins / status.pins_max)} of the pins are in use: raise dataplane.pins_max`,
    };
  }
  for (const service of services) {
    if (!service.backends.some((one) => one.state === "up")) {
      yield { name: service.name, words: `no backend of ${service.name} takes new clients` };
    }
  }
}

class Figure {
  #value = element("b", {}, NOTHING);
  node;

  constructor(label, kind = "") {
    this.node = element("div", { class: `figure ${kind}` }, this.#value, element("span", {}, label));
  }

  show(words) {
    say(this.#value, words);
  }
}

class ServicePanel {
  #figures = {
    sessions: new Figure("sessions"),
    past: new Figure("delivered past the balancer", "past"),
    through: new Figure("through the balancer", "through"),
    ratio: new Figure("through : past"),
    loss: new Figure("lost, as players report"),
  };
  #plot = new Plot("Traffic", {
    lines: [
      { label: "past the balancer", colour: "--past", filled: true },
      { label: "through it", colour: "--through", filled: true },
    ],
    axes: { bits: { words: rate, least: 1000 } },
    range: (_plot, first) => {
      const now = Date.now() / 1000;
      return [Math.max(now - PLOT_S, Math.min(first ?? now, now - PLOT_MIN_S)), now];
    },
  });
  #rows;

  constructor(service, changed) {
    const body = element("tbody");
    this.#rows = new Rows(body, () => new BackendRow(changed));
    const heading = element("h2", { id: `service-${service.name}` }, service.name);
    const figures = Object.values(this.#figures).map((one) => one.node);
    this.node = element(
      "section",
      { class: "panel", "aria-labelledby": heading.id },
      element(
        "header",
        {},
        heading,
        element("p", { class: "dim" }, `${service.vips.join("  ")}  ·  port ${service.ports.join(", ")}`),
      ),
      element("div", { class: "figures" }, ...figures),
      this.#plot.node,
      element(
        "table",
        { class: "backends" },
        element("caption", { class: "hidden" }, `Backends of ${service.name}`),
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ...COLUMNS.map(([name, kind]) => element("th", { scope: "col", class: kind }, name)),
          ),
        ),
        body,
      ),
    );
  }

  update(service) {
    const courses = service.backends.map((one) => one.course);
    const { past, through } = rates(courses);
    this.#figures.sessions.show(count(service.sessions));
    this.#figures.past.show(rate(past));
    this.#figures.through.show(rate(through));
    this.#figures.ratio.show(ratio(past, through));
    this.#figures.loss.show(percent(loss(courses)));
    this.#plot.show(series(courses));
    this.#rows.show(service.backends, (one) => one.name);
  }

  end() {
    this.#plot.end();
  }
}

const COLUMNS = [
  ["Backend", "name"],
  ["State", "state"],
  ["Sessions", "n sessions"],
  ["Past balancer", "n past"],
  ["Through it", "n through"],
  ["Loss", "n loss"],
  ["Jitter", "n jitter"],
  ["Clients tell", "standing"],
  ["Checks", "checks"],
  ["", "actions"],
];

class BackendRow {
  #changed;
  #cells = Object.fromEntries(
    COLUMNS.map(([name, kind]) => [
      kind.split(" ").at(-1),
      element("td", { class: kind, "data-label": name }),
    ]),
  );
  #state = new State();
  #problem = element("span", { class: "problem" });
  #progress = element("span", { class: "note" });
  #standing = new State();
  #told = element("span", { class: "problem" });
  #past = element("span");
  #spark = new Sparkline();
  #checks;
  #offered = null;
  node;

  constructor(changed) {
    this.#changed = changed;
    const cells = this.#cells;
    this.node = element("tr", {}, ...Object.values(cells));
    cells.state.append(this.#state.node, this.#progress, this.#problem);
    cells.standing.append(this.#standing.node, this.#told);
    cells.past.append(this.#spark.node, this.#past);
    const list = element("ul");
    cells.checks.append(list);
    this.#checks = new Rows(list, () => new CheckLine());
  }

  update(backend) {
    const cells = this.#cells;
    const { past, through } = rates([backend.course]);
    this.#name(backend);
    this.#state.show(backend.state);
    say(this.#problem, backend.problem);
    say(this.#progress, backend.drain ? progress(backend.drain) : "");
    say(cells.sessions, count(backend.sessions));
    say(this.#past, rate(past));
    this.#spark.show(backend.course.points, Date.now() / 1000);
    say(cells.through, rate(through));
    say(cells.loss, percent(loss([backend.course])));
    say(cells.jitter, jitter(backend.jitter));
    const untold = backend.standing === "good" && !backend.sessions; // nobody is there to tell
    this.#standing.show(untold ? NOTHING : (backend.standing ?? NOTHING));
    say(this.#told, backend.standing_problem ?? "");
    const checks = Object.entries(backend.checks ?? {});
    this.#checks.show(checks, ([kind]) => kind);
    set(cells.checks, "data-none", checks.length === 0);
    this.#offer(backend);
  }

  #name(backend) {
    const cell = this.#cells.name;
    if (!cell.firstChild) {
      const query = new URLSearchParams({ backend: backend.name });
      cell.append(
        element("a", { href: `#/sessions?${query}`, title: "its sessions" }, backend.name),
        element("span", { class: "dim" }),
      );
    }
    say(cell.lastChild, backend.addresses.join("  "));
  }

  /** Buttons are made anew only when others are due, so that one in use keeps the focus. */
  #offer(backend) {
    const offered = JSON.stringify([backend.admin_state, backend.sessions, backend.last]);
    if (offered === this.#offered) return;
    this.#offered = offered;
    const cell = this.#cells.actions;
    const focused = [...cell.children].indexOf(document.activeElement);
    cell.replaceChildren(...actionsFor(backend, this.#changed));
    if (focused >= 0) cell.children[Math.min(focused, cell.children.length - 1)].focus();
  }
}

function progress(drain) {
  if (drain.empty) return "empty: it can be stopped";
  if (drain.closed) return "what is left is being ended";
  const parts = [`since ${duration(drain.since_s)}`];
  if (drain.deadline_in_s !== null) parts.push(`the rest ends in ${duration(drain.deadline_in_s)}`);
  else if (drain.empty_in_s !== null) parts.push(`empty in about ${duration(drain.empty_in_s)}`);
  return parts.join("; ");
}

class CheckLine {
  #mark = element("i", { "aria-hidden": "true" });
  #words = element("span");
  node = element("li", {}, this.#mark, this.#words);

  update([kind, check]) {
    set(this.node, "data-tone", check.passing && !check.problem ? "good" : check.passing ? "warn" : "bad");
    set(this.node, "title", `asked ${duration(check.age_s)} ago`);
    say(this.#words, `${kind} ${found(check)}`);
  }
}

function found(check) {
  if (check.problem) return check.problem;
  const parts = [];
  if (check.response_s !== null) parts.push(lapse(check.response_s));
  if (check.first_rtp_s !== null) parts.push(`RTP after ${lapse(check.first_rtp_s)}`);
  if (check.bits_per_s !== null) parts.push(rate(check.bits_per_s));
  if (check.lost) parts.push(`${percent(check.lost)} lost`);
  if (check.jitter_s !== null) parts.push(`jitter ${lapse(check.jitter_s)}`);
  return parts.join(", ");
}
