/**
 * What every view shares: how the daemon stands, asked every two seconds while the page is seen; what was before
 * the page was opened is in the daemon's history.
 *
 * Listeners get `{ status, services, error }`. Each backend of a service has the `course` of its traffic, and
 * what its checks found and its clients tell.
 */

import { get, path } from "./api.js";
import { Course } from "./course.js";
import { every } from "./poll.js";

const EVERY_S = 2;

export class Pulse {
  #courses = new Map();
  #listeners = new Set();
  #last = { status: null, services: [], error: null };

  /** Begin to ask. */
  start() {
    return every(EVERY_S, (signal) => this.#beat(signal));
  }

  /** Call `listener` at each answer, and now with the last one; gives a function that ends it. */
  listen(listener) {
    this.#listeners.add(listener);
    listener(this.#last);
    return () => this.#listeners.delete(listener);
  }

  /** Ask now: something was changed. */
  async refresh() {
    await this.#beat(undefined);
  }

  async #beat(signal) {
    try {
      if (!this.#courses.size) await this.#remember(signal);
      const [status, backends] = await Promise.all([
        get("/v1/status", {}, signal),
        get("/v1/backends", {}, signal),
      ]);
      const services = this.#merged(status, backends, Date.now() / 1000);
      await Promise.all(services.flatMap((one) => one.backends).map((one) => follow(one, signal)));
      this.#last = { status, services, error: null };
    } catch (error) {
      if (signal?.aborted) return;
      this.#last = { ...this.#last, error };
    }
    for (const listener of this.#listeners) listener(this.#last);
  }

  /** Begin the courses with what the daemon remembers. */
  async #remember(signal) {
    const history = await get("/v1/history", {}, signal);
    const now = Date.now() / 1000;
    for (const one of history) {
      const course = this.#course(`${one.service}/${one.name}`);
      one.ages_s.forEach((age, at) => course.take(reading(now - age, (key) => one[key][at])));
    }
  }

  #merged(status, backends, now) {
    const known = new Map(backends.map((one) => [`${one.service}/${one.name}`, one]));
    return status.services.map((service) => ({
      ...service,
      sessions: service.backends.reduce((sum, one) => sum + one.sessions, 0),
      backends: service.backends.map((one) => {
        const name = `${service.name}/${one.name}`;
        const course = this.#course(name);
        course.take(reading(now, (key) => one[key]));
        const last = !service.backends.some((other) => other !== one && other.state === "up");
        return { ...known.get(name), ...one, service: service.name, course, last };
      }),
    }));
  }

  #course(name) {
    return this.#courses.get(name) ?? this.#courses.set(name, new Course()).get(name);
  }
}

/** Of a backend that was taken out, see how far it is. */
async function follow(backend, signal) {
  backend.drain = null;
  if (!["drain", "maint"].includes(backend.admin_state)) return;
  const told = await get(path("services", backend.service, "backends", backend.name), {}, signal);
  backend.drain = told.drain;
}

/** A reading of counters as the API calls them. */
function reading(at, of) {
  return {
    at,
    past: of("delivered_bytes"),
    through: of("client_bytes"),
    expected: of("delivered_packets"),
    lost: of("lost_packets"),
  };
}
