/**
 * How the counters of one backend went, and what follows from them: rates, and the share that was lost.
 *
 * Readings hold `past` and `through`, bytes that passed the balancer by or went through it, and of the packets
 * that clients report on those `expected` and `lost`. Clients that play over UDP report every few seconds
 * only, so everything is taken over a window.
 */

const KEPT_S = 30 * 60;
const RATE_S = 15;
const LOSS_S = 60;

export class Course {
  #readings = []; // with `at`, seconds since 1970, and `rates`; the oldest first

  /** Take in a reading. Counters that went back are those of another daemon: what was before is dropped. */
  take(reading) {
    const last = this.#readings.at(-1);
    if (last && reading.at <= last.at) return;
    if (last && (reading.past < last.past || reading.through < last.through)) this.#readings = [];
    const first = this.#before(reading.at - RATE_S) ?? reading;
    const bits = 8 / (reading.at - first.at);
    const rates =
      first === reading
        ? null
        : { past: (reading.past - first.past) * bits, through: (reading.through - first.through) * bits };
    this.#readings.push({ ...reading, rates });
    while (this.#readings[0].at < reading.at - KEPT_S) this.#readings.shift();
  }

  /** Bits in a second, `{ at, past, through }`, at each reading but the first. */
  get points() {
    return this.#readings.filter((one) => one.rates).map(({ at, rates }) => ({ at, ...rates }));
  }

  /** Bits in a second now, `{ past, through }`; null after one reading. */
  get rates() {
    return this.#readings.at(-1)?.rates ?? null;
  }

  /** Packets that clients told of lately, `{ expected, lost }`. */
  get reported() {
    const last = this.#readings.at(-1);
    if (!last) return { expected: 0, lost: 0 };
    const first = this.#before(last.at - LOSS_S);
    return { expected: last.expected - first.expected, lost: last.lost - first.lost };
  }

  /** The latest reading that is not after a time, else the first. */
  #before(at) {
    let found = this.#readings.length - 1;
    while (found > 0 && this.#readings[found].at > at) found -= 1;
    return this.#readings[found];
  }
}

/** Bits in a second of several courses together, `{ past, through }`; nulls while none is known. */
export function rates(courses) {
  const known = courses.map((one) => one.rates).filter((one) => one);
  const sum = (key) => (known.length ? known.reduce((total, one) => total + one[key], 0) : null);
  return { past: sum("past"), through: sum("through") };
}

/** The share of packets that several courses together lost lately; null if nobody told. */
export function loss(courses) {
  const told = courses.map((one) => one.reported);
  const sum = (key) => told.reduce((total, one) => total + one[key], 0);
  return sum("expected") > 0 ? sum("lost") / sum("expected") : null;
}

/** `[times, past, through]` of several courses together, read at the same times, for a plot. */
export function series(courses) {
  const sums = new Map();
  for (const { at, past, through } of courses.flatMap((one) => one.points)) {
    const sum = sums.get(at) ?? sums.set(at, { past: 0, through: 0 }).get(at);
    sum.past += past;
    sum.through += through;
  }
  const times = [...sums.keys()].sort((one, other) => one - other);
  return [times, times.map((at) => sums.get(at).past), times.map((at) => sums.get(at).through)];
}
