/** One session from its first request to its end: what its client asked, how media arrived, why it ended. */

import { get, path } from "./api.js";
import { element, Rows, say, set } from "./element.js";
import { count, duration, jitter, lapse, NOTHING, percent, plural, rate, size, time } from "./format.js";
import { Plot } from "./plot.js";
import { every } from "./poll.js";
import { State } from "./states.js";

const EVERY_S = 2;

/** Why sessions end, in words; the API tells the log's. */
const REASONS = {
  teardown: "its client asked for the end (TEARDOWN)",
  expired: "nothing was heard of its client any more",
  connection_closed: "its client closed the connection",
  backend_down: "its backend was down",
  drained: "its backend was drained or taken out",
};

/** The view; gives a function that ends it. */
export function session(main, name) {
  const state = new State();
  const url = element("p", { class: "url" });
  const end = element("p", { class: "end", hidden: true });
  const problem = element("p", { class: "problem", role: "alert" });
  const facts = new Facts();
  const tracks = new Tracks();
  const story = new StoryList();
  const unheard = element(
    "p",
    { class: "unheard dim" },
    "Its client has sent no receiver report so far: loss and jitter are not known.",
  );
  const quality = new Plot("Loss and jitter", {
    lines: [
      { label: "loss", colour: "--loss", axis: "loss" },
      { label: "jitter", colour: "--jitter", axis: "jitter" },
    ],
    axes: { loss: { words: percent, least: 0.02 }, jitter: { words: jitter, least: 450 } },
  });
  const overTcp = deliveredPlot("Delivered over TCP", "bits", { words: rate, least: 1000 });
  const overUdp = deliveredPlot("Delivered over UDP", "packets", { words: packets, least: 10 });
  const plots = { loss: quality, bits: overTcp, packets: overUdp };
  const measures = new Measures();
  const body = element(
    "div",
    { class: "story", hidden: true },
    end,
    facts.node,
    section("How media arrived", unheard, ...Object.values(plots).map((one) => one.node), measures.node),
    section("What happened", story.node),
    section("Tracks", tracks.node),
  );
  main.append(
    element("p", { class: "back" }, element("a", { href: "#/sessions" }, "Sessions")),
    element(
      "div",
      { class: "headline" },
      element("h1", {}, "Session ", element("code", {}, name)),
      state.node,
    ),
    url,
    problem,
    body,
  );

  const stop = every(EVERY_S, async (signal) => {
    try {
      const told = await get(path("sessions", name), {}, signal);
      body.hidden = false;
      say(problem, "");
      show(told);
      if (told.state === "ended") stop();
    } catch (error) {
      if (!signal.aborted) say(problem, error.message);
    }
  });

  function show(told) {
    state.show(told.state);
    say(url, told.url);
    end.hidden = told.reason === null;
    if (told.reason)
      say(
        end,
        `Ended at ${clock(told.closed_at)}, after ${duration(told.age_s)}: ${REASONS[told.reason] ?? told.reason}.`,
      );
    facts.show(told);
    tracks.show(told.tracks);
    story.show(told);
    const { times, columns } = curve(told.course);
    for (const [column, plot] of Object.entries(plots))
      plot.node.hidden = !columns[column].some((one) => one !== null);
    unheard.hidden = !quality.node.hidden;
    quality.show([times, columns.loss, columns.jitter]);
    overTcp.show([times, columns.bits]);
    overUdp.show([times, columns.packets]);
    measures.show(told.course);
  }

  return () => {
    stop();
    for (const plot of Object.values(plots)) plot.end();
  };
}

function deliveredPlot(title, axis, how) {
  return new Plot(title, {
    lines: [{ label: "delivered", colour: "--past", axis, filled: true }],
    axes: { [axis]: how },
  });
}

function section(heading, ...content) {
  return element(
    "section",
    { class: "panel" },
    element("header", {}, element("h2", {}, heading)),
    ...content,
  );
}

function epoch(moment) {
  return Date.parse(moment) / 1000;
}

function clock(moment) {
  return moment === null ? NOTHING : time(epoch(moment));
}

function packets(perSecond) {
  return perSecond === null ? NOTHING : `${count(perSecond)} pkt/s`;
}

/** Stretches of time as a plot has them: each value stands at the beginning and the end of its stretch. */
function curve(course) {
  const column = (value) => course.flatMap((one) => [value(one), value(one)]);
  return {
    times: course.flatMap((one) => [epoch(one.begun_at) + 0.001, epoch(one.ended_at)]),
    columns: {
      loss: column((one) => one.loss),
      jitter: column((one) => one.jitter),
      bits: column((one) => (one.delivered_bytes_per_s === null ? null : 8 * one.delivered_bytes_per_s)),
      packets: column((one) => one.delivered_packets_per_s),
    },
  };
}

/** Its facts, each a name and a value. */
class Facts {
  #values = new Map();
  #backend = element("a");
  node = element("dl", { class: "panel facts" });

  show(told) {
    this.#put("Client", `${told.client} port ${told.client_port}`);
    this.#put("Backend", null);
    say(this.#backend, [told.service, told.backend].filter(Boolean).join("/") || NOTHING);
    set(
      this.#backend,
      "href",
      told.backend && `#/sessions?${new URLSearchParams({ backend: told.backend })}`,
    );
    this.#put("User agent", told.user_agent || NOTHING);
    this.#put("Opened", clock(told.opened_at));
    this.#put(told.reason ? "Lasted" : "Age", duration(told.age_s));
    this.#put("Set up in", lapse(told.setup_s));
    this.#put("First sign of media after", lapse(told.first_delivery_s));
    const amounts = [
      told.delivered_bytes === null ? null : `${size(told.delivered_bytes)} over TCP`,
      told.delivered_packets === null ? null : plural(told.delivered_packets, "packet"),
    ].filter((one) => one !== null);
    this.#put("Delivered", amounts.join(", ") || NOTHING);
    this.#put("From the client", `${size(told.client_bytes)} in ${plural(told.client_packets, "packet")}`);
    this.#put("Lost", told.lost_packets === null ? NOTHING : plural(told.lost_packets, "packet"));
    this.#put("Worst loss", percent(told.worst_loss));
    this.#put("Jitter", jitter(told.jitter));
    this.#put("Stalls", told.stalls ? `${count(told.stalls)}, ${duration(told.stalled_s)} in all` : "none");
    this.#put("Server's session", told.server_session ?? NOTHING);
  }

  #put(name, words) {
    if (!this.#values.has(name)) {
      const value = element("dd", {}, ...(words === null ? [this.#backend] : []));
      this.#values.set(name, value);
      this.node.append(element("div", {}, element("dt", {}, name), value));
    }
    if (words !== null) say(this.#values.get(name), words);
  }
}

/** What happened, in its order, with the time since the beginning. */
class StoryList {
  #list = element("ol", { class: "entries" });
  #rows = new Rows(this.#list, () => new EntryLine());
  node = this.#list;

  show(told) {
    const entries = told.entries.map((one, at) => ({
      ...one,
      at,
      since: epoch(one.time) - epoch(told.opened_at),
    }));
    if (told.entries_omitted) {
      const omitted = { omitted: told.entries_omitted, at: "omitted" };
      entries.splice(told.entries_first, 0, omitted);
    }
    this.#rows.show(entries, (one) => (one.omitted ? "omitted" : `${one.at} ${one.time}`));
  }
}

class EntryLine {
  #since = element("time");
  #what = element("b");
  #words = element("span", { class: "why" });
  node = element("li", {}, this.#since, this.#what, this.#words);

  update(entry) {
    if (entry.omitted) {
      say(this.#words, `${count(entry.omitted)} more were not kept`);
      return;
    }
    const asked = entry.event === "request";
    set(this.node, "data-kind", asked ? "request" : "event");
    set(this.node, "data-tone", TROUBLING.has(entry.event) ? "warn" : "calm");
    say(this.#since, `${entry.since < 0 ? "−" : "+"}${Math.abs(entry.since).toFixed(3)} s`);
    set(this.#since, "datetime", entry.time);
    set(this.#since, "title", `${clock(entry.time)}${entry.times > 1 ? ` to ${clock(entry.until)}` : ""}`);
    say(this.#what, asked ? entry.method : entry.event.replaceAll("_", " "));
    say(
      this.#words,
      asked
        ? `${entry.url}${entry.times > 1 ? `  ${count(entry.times)} times` : ""}`
        : details(entry.details),
    );
  }
}

const TROUBLING = new Set([
  "session_stalled",
  "request_out_of_turn",
  "request_inferred",
  "request_malformed",
  "destination_refused",
  "pin_contested",
  "connection_reset",
  "reassembly_gap",
  "flow_distrusted",
]);

function details(known) {
  return Object.entries(known)
    .filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length))
    .map(([key, value]) => `${key.replaceAll("_", " ")} ${Array.isArray(value) ? value.join("-") : value}`)
    .join(", ");
}

class Tracks {
  #body = element("tbody");
  #rows = new Rows(this.#body, () => new TrackRow());
  node = element(
    "table",
    { class: "tracks" },
    element("caption", { class: "hidden" }, "Tracks"),
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        ...["URL", "Transport", "Client ports or channels"].map((one) =>
          element("th", { scope: "col" }, one),
        ),
      ),
    ),
    this.#body,
  );

  show(tracks) {
    this.#rows.show(tracks, (one) => one.url);
  }
}

class TrackRow {
  #cells = ["URL", "Transport", "Client ports or channels"].map((one) =>
    element("td", { "data-label": one }),
  );
  node = element("tr", {}, ...this.#cells);

  update(track) {
    const places = track.client_ports.length
      ? `ports ${track.client_ports.join(", ")}`
      : track.channels.length
        ? `channels ${track.channels.join(", ")}`
        : NOTHING;
    [track.url, track.transport, places].forEach((words, at) => say(this.#cells[at], words));
  }
}

/** The plots' numbers as a table, for those who do not see them, or want to copy them. */
class Measures {
  #body = element("tbody");
  #rows = new Rows(this.#body, () => new MeasureRow());
  node = element(
    "details",
    {},
    element("summary", {}, "The same as a table"),
    element(
      "table",
      { class: "measures" },
      element(
        "thead",
        {},
        element("tr", {}, ...MEASURES.map(([one]) => element("th", { scope: "col", class: "n" }, one))),
      ),
      this.#body,
    ),
  );

  show(course) {
    this.#rows.show(course, (one) => `${one.begun_at} ${one.ended_at}`);
  }
}

const MEASURES = [
  ["From", (one) => clock(one.begun_at)],
  ["To", (one) => clock(one.ended_at)],
  ["Loss", (one) => percent(one.loss)],
  ["Jitter", (one) => jitter(one.jitter)],
  [
    "Delivered over TCP",
    (one) => (one.delivered_bytes_per_s === null ? NOTHING : rate(8 * one.delivered_bytes_per_s)),
  ],
  ["Delivered over UDP", (one) => packets(one.delivered_packets_per_s)],
  ["From the client", (one) => rate(8 * one.client_bytes_per_s)],
];

class MeasureRow {
  #cells = MEASURES.map(([name]) => element("td", { class: "n", "data-label": name }));
  node = element("tr", {}, ...this.#cells);

  update(point) {
    MEASURES.forEach(([, words], at) => say(this.#cells[at], words(point)));
  }
}
