/**
 * Do `work` now and every so many seconds, while the page is seen; at once when it is seen again.
 *
 * work(signal): may take its time, the pause begins after it; gives a function that ends it all
 */
export function every(seconds, work) {
  const end = new AbortController();
  let timer = 0;
  let busy = false;

  async function turn() {
    clearTimeout(timer);
    if (busy || document.hidden || end.signal.aborted) return;
    busy = true;
    try {
      await work(end.signal);
    } finally {
      busy = false;
      if (!end.signal.aborted) timer = setTimeout(turn, 1000 * seconds);
    }
  }

  document.addEventListener("visibilitychange", turn, { signal: end.signal });
  turn();
  return () => {
    end.abort();
    clearTimeout(timer);
  };
}

/** Call `work` once, soon after the last of many calls in a row. */
export function settled(milliseconds, work) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(work, milliseconds, ...values);
  };
}
