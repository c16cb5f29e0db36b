/** Numbers and times as people read them; `–` where nothing is known. */

export const NOTHING = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const VIDEO_CLOCK = 90; // units in a millisecond
const STEPS = ["", "k", "M", "G", "T"];

/** 12,345 */
export function count(value) {
  return value === null || value === undefined ? NOTHING : whole.format(value);
}

/** `4.21 Mb/s`, from bits in a second. */
export function rate(bits) {
  return scaled(bits, 1000, "b/s");
}

/** `4.21 MB`, from bytes. */
export function size(bytes) {
  return scaled(bytes, 1000, "B");
}

function scaled(value, step, unit) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  let at = 0;
  while (Math.abs(value) >= step * 0.9995 && at < STEPS.length - 1) {
    value /= step;
    at += 1;
  }
  const digits = at === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${STEPS[at]}${unit}`;
}

/** `0.4 %`, from a fraction. */
export function percent(fraction) {
  if (fraction === null || fraction === undefined) return NOTHING;
  const value = 100 * fraction;
  return `${value === 0 ? "0" : value < 0.1 ? value.toFixed(2) : value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** `1.4 ms` or `2.05 s`, from seconds. */
export function lapse(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  if (seconds < 0.0995) return `${(1000 * seconds).toFixed(1)} ms`;
  return seconds < 0.9995 ? `${(1000 * seconds).toFixed(0)} ms` : `${seconds.toFixed(2)} s`;
}

/** `42 s`, `3 min 5 s`, `2 h 14 min`, `3 d 4 h`: how long something lasts. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** `1.4 ms`, from the timestamp units of video's RTP, which receiver reports have. */
export function jitter(units) {
  return units === null || units === undefined ? NOTHING : `${(units / VIDEO_CLOCK).toFixed(1)} ms`;
}

/** `1 : 334`: what passed the balancer by, for each part that went through it. */
export function ratio(past, through) {
  if (!past || !through) return NOTHING;
  const times = past / through;
  return `1 : ${times >= 10 ? whole.format(times) : times.toFixed(1)}`;
}

/** `18:02:31`, from seconds since 1970, in the reader's time zone. */
export function time(epoch) {
  return epoch === null || epoch === undefined ? NOTHING : clock.format(new Date(1000 * epoch));
}

/** `1 session`, `2 sessions` */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}
