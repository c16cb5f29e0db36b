/** What happens, as it happens: the lines of the session log from GET /v1/events, while the page is seen. */

export class Live {
  #listeners = new Set();
  #source = null;

  /** Begin to listen; gives a function that ends it. */
  start() {
    const end = new AbortController();
    document.addEventListener("visibilitychange", () => this.#turn(!document.hidden), { signal: end.signal });
    this.#turn(!document.hidden);
    return () => {
      end.abort();
      this.#turn(false);
    };
  }

  /** Call `listener(line)` with each line; gives a function that ends it. */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #turn(on) {
    if (!on) {
      this.#source?.close();
      this.#source = null;
    } else if (!this.#source) {
      this.#source = new EventSource("/v1/events");
      this.#source.addEventListener("record", (event) => this.#tell(JSON.parse(event.data)));
    }
  }

  #tell(line) {
    for (const listener of this.#listeners) listener(line);
  }
}
