/**
 * A plot over time (uPlot), with a key that shows the values under the cursor; arrow keys move the cursor.
 *
 * lines: `{ label, colour, filled, axis }`; colour is a custom property of style.css, axis one of `axes`
 * axes:  name -> `{ words, least }`: how its values read, and the least that its top is; the second is on the right
 * range: gives the ends of the time axis; else the data does
 */

import { element, say, set } from "./element.js";
import { NOTHING, time } from "./format.js";
import { colour } from "./theme.js";

const FONT = "11px system-ui, sans-serif";
const LABEL_WIDTH = 72;
const TICKS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

export class Plot {
  #title;
  #lines;
  #axes;
  #host = element("div", { class: "canvas" });
  #values = [];
  #moment = element("span", { class: "moment" });
  #data = null;
  #plot = null;
  #range;
  #end = new AbortController();
  #resized = new ResizeObserver(() => this.#fit());

  constructor(title, { lines, axes, range = null }) {
    [this.#title, this.#lines, this.#axes, this.#range] = [title, lines, axes, range];
    const key = lines.map((line) => {
      const value = element("b", {}, NOTHING);
      this.#values.push(value);
      return element("li", { class: `key ${line.colour.slice(2)}` }, element("i"), line.label, " ", value);
    });
    this.node = element(
      "figure",
      {
        class: "plot",
        tabindex: 0,
        role: "img",
        "aria-label": title,
        onkeydown: (event) => this.#step(event),
      },
      element(
        "figcaption",
        {},
        element("span", { class: "title" }, title),
        element("ul", {}, ...key),
        this.#moment,
      ),
      this.#host,
    );
    this.#resized.observe(this.#host);
    document.addEventListener("theme", () => this.#draw(), { signal: this.#end.signal });
  }

  /** Show `[times, values of the first line, ...]`. */
  show(data) {
    this.#data = data;
    if (this.#plot) this.#plot.setData(data);
    else this.#draw();
    this.#tell();
  }

  /** Let go of what it holds. */
  end() {
    this.#end.abort();
    this.#resized.disconnect();
    this.#plot?.destroy();
  }

  #draw() {
    this.#plot?.destroy();
    this.#plot = null;
    const width = this.#host.clientWidth;
    if (!this.#data || !width) return;
    const [dim, rule] = [colour("--dim"), colour("--rule")];
    const names = Object.keys(this.#axes);
    const grid = { stroke: rule, width: 1 };
    this.#plot = new globalThis.uPlot(
      {
        width,
        height: this.#host.clientHeight,
        legend: { show: false },
        cursor: { y: false, drag: { x: true, y: false }, points: { size: 7 } },
        scales: {
          x: this.#range ? { range: this.#range } : {},
          ...Object.fromEntries(
            names.map((name) => [
              name,
              { range: (_plot, _low, high) => [0, Math.max(high ?? 0, this.#axes[name].least) * 1.08] },
            ]),
          ),
        },
        axes: [
          {
            stroke: dim,
            font: FONT,
            grid,
            ticks: grid,
            size: 28,
            space: 84,
            incrs: TICKS_S,
            values: (_plot, moments) => moments.map(label(moments)),
          },
          ...names.map((scale, at) => ({
            scale,
            side: at === 0 ? 3 : 1,
            stroke: dim,
            font: FONT,
            size: LABEL_WIDTH,
            space: 28,
            ticks: { show: false },
            grid: { ...grid, show: at === 0 },
            values: (_plot, values) => values.map(this.#axes[scale].words),
          })),
        ],
        series: [
          {},
          ...this.#lines.map((line) => {
            const stroke = colour(line.colour);
            const fill = line.filled ? stroke.replace("rgb(", "rgba(").replace(")", ", 0.14)") : undefined;
            return {
              scale: line.axis ?? names[0],
              stroke,
              fill,
              width: 1.6,
              spanGaps: true,
              points: { show: false },
            };
          }),
        ],
        hooks: { setCursor: [() => this.#tell()] },
      },
      this.#data,
      this.#host,
    );
  }

  #fit() {
    if (this.#plot) this.#plot.setSize({ width: this.#host.clientWidth, height: this.#host.clientHeight });
    else this.#draw();
  }

  #step(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !this.#plot || !this.#data[0].length) return;
    event.preventDefault();
    const last = this.#data[0].length - 1;
    const at = Math.min(Math.max((this.#plot.cursor.idx ?? last + (step < 0 ? 1 : 0)) + step, 0), last);
    this.#plot.setCursor({ left: this.#plot.valToPos(this.#data[0][at], "x"), top: 1 });
  }

  /** The values under the cursor, else the last ones. */
  #tell() {
    const under = this.#plot?.cursor.idx ?? null;
    const at = under ?? this.#data[0].length - 1;
    const words = this.#lines.map((line, number) => {
      const value = this.#data[number + 1][at];
      const shown =
        value === null || value === undefined
          ? NOTHING
          : this.#axes[line.axis ?? Object.keys(this.#axes)[0]].words(value);
      say(this.#values[number], shown);
      return `${line.label} ${shown}`;
    });
    say(this.#moment, under === null ? "" : time(this.#data[0][at]));
    set(
      this.node,
      "aria-label",
      `${this.#title}: ${words.join(", ")}${under === null ? "" : ` at ${time(this.#data[0][at])}`}`,
    );
  }
}

function label(moments) {
  const step = moments.length > 1 ? moments[1] - moments[0] : 60;
  return (moment) => (step < 60 ? time(moment) : time(moment).slice(0, 5));
}
