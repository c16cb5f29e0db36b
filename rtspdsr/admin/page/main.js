/** The page: who may look, which view is shown, and whether the daemon answers. */

import { get } from "./api.js";
import { say, set } from "./element.js";
import { Live } from "./live.js";
import { overview } from "./overview.js";
import { Pulse } from "./pulse.js";
import { session } from "./session.js";
import { sessions } from "./sessions.js";
import { isSignedIn, signIn, signOut } from "./signin.js";
import { followTheme } from "./theme.js";

const main = document.getElementById("main");
const leave = document.getElementById("leave");
const pulse = new Pulse();
const live = new Live();

/** What has to end before something else is shown. */
let shown = { route: null, end() {} };
let entered = null;

/** Begin, once the daemon lets us in. */
async function enter() {
  entered?.();
  entered = null;
  shown.end();
  shown = { route: null, end() {} };
  main.replaceChildren();
  try {
    await get("/v1/status");
  } catch (error) {
    if (error.status === 401) await signIn(main);
  }
  leave.hidden = !isSignedIn();
  const ends = [pulse.start(), live.start()];
  entered = () => ends.forEach((end) => end());
  show();
}

/** Show the view that the address names. */
function show() {
  if (!entered) return;
  const [, path, search] = location.hash.match(/^#\/([^?]*)\??(.*)$/) ?? ["", "", ""];
  const [page, name] = path.split("/").map(decodeURIComponent);
  const route = name ? `${page}/${name}` : page;
  shown.end();
  main.replaceChildren();
  scrollTo(0, 0);
  const moved = shown.route !== null && shown.route !== route;
  shown = { route, end: open(page, name, new URLSearchParams(search)) };
  for (const link of document.querySelectorAll("nav a")) {
    set(link, "aria-current", link.hash === `#/${page}` ? "page" : null);
  }
  document.title = `${main.querySelector("h1").textContent} · rtspdsr`;
  if (moved) main.focus({ preventScroll: true });
}

function open(page, name, query) {
  if (page !== "sessions") return overview(main, pulse, live);
  return name ? session(main, name) : sessions(main, pulse, query);
}

function tell({ status, error }) {
  const line = document.getElementById("pulse");
  set(line, "data-tone", error ? "bad" : status ? "good" : "calm");
  set(line, "title", error ? error.message : "asked every two seconds");
  say(line.lastElementChild, error ? "no answer" : status ? "live" : "waiting");
  if (error?.status === 401) enter();
}

followTheme(document.getElementById("themes"));
leave.addEventListener("click", signOut);
addEventListener("hashchange", show);
pulse.listen(tell);
enter();
