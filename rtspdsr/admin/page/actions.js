/** What an operator does to a backend, each after a question: drain, maintenance, ready. */

import { path, put } from "./api.js";
import { confirm } from "./dialog.js";
import { announce, element } from "./element.js";
import { plural } from "./format.js";

const MINUTES_MAX = 7 * 24 * 60;

/** The buttons that suit a backend in a state; `changed()` is called once something was done. */
export function actionsFor(backend, changed) {
  return (OFFERED[backend.admin_state] ?? []).map((action) =>
    element(
      "button",
      {
        type: "button",
        "aria-label": `${LABELS[action]} ${backend.name}`,
        onclick: () => QUESTIONS[action](backend, changed),
      },
      LABELS[action],
    ),
  );
}

const OFFERED = { ready: ["drain", "maint"], drain: ["ready", "maint"], maint: ["ready"] };
const LABELS = { drain: "Drain", maint: "Maint", ready: "Ready" };

const QUESTIONS = {
  drain(backend, changed) {
    const minutes = element("input", {
      type: "number",
      min: 1,
      max: MINUTES_MAX,
      step: 1,
      inputmode: "numeric",
      placeholder: "none",
    });
    return question(backend, changed, {
      heading: `Drain ${backend.name}?`,
      words: [
        backend.sessions
          ? `It gets no new clients. ${plural(backend.sessions, "session")} there may go on, and clients that have one may begin more.`
          : "It gets no new clients. There is no session on it.",
      ],
      more: [
        element("label", { class: "field" }, "End what is left after, in minutes", minutes),
        ...warning(backend),
      ],
      yes: "Drain",
      body: () => ({
        state: "drain",
        deadline_s: minutes.value ? 60 * Number(minutes.value) : null,
        force: backend.last,
      }),
      done: `${backend.name} drains`,
    });
  },
  maint(backend, changed) {
    return question(backend, changed, {
      heading: `Take ${backend.name} out for maintenance?`,
      words: [
        backend.sessions
          ? `What plays there ends now (${plural(backend.sessions, "session")}): at the server first, then its clients are told, and can connect to other backends.`
          : "It has no sessions. It gets no clients until it is made ready.",
      ],
      more: warning(backend),
      yes: backend.sessions ? `End ${plural(backend.sessions, "session")}` : "Take it out",
      danger: backend.sessions > 0,
      body: () => ({ state: "maint", force: backend.last }),
      done: `${backend.name} is in maintenance`,
    });
  },
  ready(backend, changed) {
    return question(backend, changed, {
      heading: `Make ${backend.name} ready?`,
      words: ["It gets new clients again, as soon as it passes its checks."],
      yes: "Ready",
      body: () => ({ state: "ready" }),
      done: `${backend.name} is ready`,
    });
  },
};

/** The daemon refuses to take out the last backend unless that is meant. */
function warning(backend) {
  if (!backend.last) return [];
  const meant = element("input", { type: "checkbox", required: true });
  const words = "No other backend takes clients: new ones would get no answer. Do it all the same.";
  return [element("label", { class: "meant" }, meant, element("span", {}, words))];
}

async function question(backend, changed, { heading, words, more = [], yes, danger, body, done }) {
  const asked = document.activeElement;
  const agreed = await confirm({
    heading,
    body: [...words.map((one) => element("p", {}, one)), ...more],
    yes,
    danger,
    act: () => put(path("services", backend.service, "backends", backend.name, "state"), body()),
  });
  if (agreed) {
    announce(done);
    await changed();
  }
  if (!asked?.isConnected) document.getElementById("main").focus({ preventScroll: true });
}
