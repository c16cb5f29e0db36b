/** Live sessions, searched by the daemon: of a hundred thousand only those that are shown are sent. */

import { get } from "./api.js";
import { element, Rows, say, set } from "./element.js";
import { duration, NOTHING, percent, plural } from "./format.js";
import { every, settled } from "./poll.js";
import { State } from "./states.js";

const LIMIT = 100;
const EVERY_S = 2;
const TYPING_MS = 250;
const STATES = ["playing", "recording", "ready", "init", "ending", "ended"];

/** The view; gives a function that ends it. */
export function sessions(main, pulse, query) {
  const search = element("input", {
    type: "search",
    id: "search",
    name: "q",
    placeholder: "client address or part of the URL",
    autocomplete: "off",
    spellcheck: "false",
    value: query.get("q") ?? "",
  });
  const backend = choice("Backend", "any", query.get("backend"), []);
  const state = choice("State", "live", query.get("state"), STATES);
  const told = element("p", { class: "told dim", role: "status" });
  const body = element("tbody");
  const table = element(
    "table",
    { class: "sessions" },
    element("caption", { class: "hidden" }, "Live sessions"),
    element(
      "thead",
      {},
      element("tr", {}, ...COLUMNS.map(([name, kind]) => element("th", { scope: "col", class: kind }, name))),
    ),
    body,
  );
  const form = element(
    "form",
    { role: "search", class: "search", onsubmit: (event) => event.preventDefault() },
    element("label", { class: "field wide", for: "search" }, "Search", search),
    backend.node,
    state.node,
  );
  main.append(element("h1", {}, "Sessions"), form, told, element("section", { class: "panel" }, table));

  const rows = new Rows(body, () => new SessionRow());
  let stop = () => {};
  const restart = () => {
    stop();
    remember({ q: search.value.trim(), backend: backend.value, state: state.value });
    stop = every(EVERY_S, look);
  };
  search.addEventListener("input", settled(TYPING_MS, restart));
  for (const one of [backend, state]) one.node.addEventListener("change", restart);

  async function look(signal) {
    const asked = { ...meant(search.value.trim()), backend: backend.value, state: state.value, limit: LIMIT };
    try {
      const found = await get("/v1/sessions", asked, signal);
      rows.show(found, (one) => one.session);
      const more = found.length >= LIMIT ? `the first ${LIMIT}; search to narrow them down` : "";
      say(told, found.length ? more || plural(found.length, "session") : "No session is like that.");
    } catch (error) {
      if (!signal.aborted) say(told, error.message);
    }
  }

  const deafen = pulse.listen(({ services }) =>
    backend.offer(services.flatMap((one) => one.backends.map((it) => it.name))),
  );
  restart();
  return () => {
    stop();
    deafen();
  };
}

/** What somebody typed, as the API is asked: an address or network, the beginning of one, or part of a URL. */
function meant(words) {
  if (!words) return {};
  if (/^[0-9a-f:]*:[0-9a-f:.]*(\/\d+)?$/i.test(words)) return { client: words };
  if (/^\d+(\.\d+){3}(\/\d+)?$/.test(words)) return { client: words };
  const beginning = words.match(/^(\d+(?:\.\d+){0,2})\.?$/);
  if (!beginning) return { url: words };
  const numbers = beginning[1].split(".");
  return { client: `${[...numbers, "0", "0", "0"].slice(0, 4).join(".")}/${8 * numbers.length}` };
}

function remember(asked) {
  const kept = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
  history.replaceState(null, "", `#/sessions${kept.size ? `?${kept}` : ""}`);
}

function choice(label, none, chosen, options) {
  const select = element("select", {}, element("option", { value: "" }, none));
  const offer = (names) => {
    const known = new Set([...select.options].map((one) => one.value));
    for (const name of names) if (!known.has(name)) select.append(element("option", { value: name }, name));
  };
  offer(options);
  if (chosen) {
    offer([chosen]);
    select.value = chosen;
  }
  return {
    node: element("label", { class: "field" }, label, select),
    offer,
    get value() {
      return select.value;
    },
  };
}

const COLUMNS = [
  ["Session", "session"],
  ["Client", "client"],
  ["URL", "url"],
  ["Backend", "backend"],
  ["State", "state"],
  ["Transport", "transport"],
  ["Loss", "n loss"],
  ["Age", "n age"],
];

class SessionRow {
  #cells = Object.fromEntries(
    COLUMNS.map(([name, kind]) => [
      kind.split(" ").at(-1),
      element("td", { class: kind, "data-label": name }),
    ]),
  );
  #state = new State();
  #link = element("a");
  node = element("tr", {}, ...Object.values(this.#cells));

  constructor() {
    this.#cells.state.append(this.#state.node);
    this.#cells.session.append(this.#link);
  }

  update(session) {
    const cells = this.#cells;
    say(this.#link, session.session);
    set(this.#link, "href", `#/sessions/${encodeURIComponent(session.session)}`);
    say(cells.client, session.client);
    say(cells.url, session.url);
    set(cells.url, "title", session.url);
    say(cells.backend, session.backend ?? NOTHING);
    this.#state.show(session.state);
    say(cells.transport, session.transports.join(", ") || NOTHING);
    say(cells.loss, percent(session.last_loss));
    say(cells.age, duration(session.age_s));
  }
}
