/** A small curve without axes, for a table's cell: where something comes from and where it goes. */

import { drawing, set } from "./element.js";

const [WIDTH, HEIGHT] = [72, 18];
const SPAN_S = 10 * 60;

export class Sparkline {
  #line = drawing("path", { class: "line" });
  node = drawing(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", preserveAspectRatio: "none" },
    this.#line,
  );

  /** Show the last ten minutes of points, up to `now`. */
  show(points, now) {
    const shown = points.filter(({ at }) => at > now - SPAN_S);
    const top = Math.max(1, ...shown.map(({ past }) => past));
    const places = shown.map(({ at, past }) => {
      const x = WIDTH * (1 - (now - at) / SPAN_S);
      const y = HEIGHT - 1 - (HEIGHT - 3) * (past / top);
      return `${x.toFixed(1)} ${y.toFixed(1)}`;
    });
    set(this.#line, "d", places.length > 1 ? `M${places.join("L")}` : null);
  }
}
