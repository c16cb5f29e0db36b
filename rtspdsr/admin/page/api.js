/** The daemon's admin API, on the host that this page came from. */

/** What the daemon answered instead of doing it: `message` says it in words, `status` is HTTP's. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The answer to GET. `query` may hold empty values: they are left out. */
export function get(path, query = {}, signal = undefined) {
  const asked = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== "" && value !== null),
  );
  return ask(`${path}${asked.size ? `?${asked}` : ""}`, { signal });
}

/** Change something. */
export function put(path, body) {
  return ask(path, {
    method: "PUT",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function ask(path, options) {
  const response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok)
    throw new Refusal(answer.error ?? `${response.status} ${response.statusText}`, response.status);
  return answer;
}

/** A path of names, each escaped. */
export function path(...names) {
  return `/v1/${names.map(encodeURIComponent).join("/")}`;
}
