/** Over TCP the daemon asks for its token; a cookie then stands for it until it is signed out. */

import { element, say } from "./element.js";
import { recall, remember } from "./storage.js";

/** Show the form in `main`; done once the daemon has taken the token. */
export function signIn(main) {
  return new Promise((resolve) => {
    const token = element("input", {
      type: "password",
      id: "token",
      autocomplete: "current-password",
      required: true,
    });
    const problem = element("p", { class: "problem", role: "alert" });
    const form = element(
      "form",
      { class: "panel signin", onsubmit: submit },
      element("h1", {}, "Sign in"),
      element("label", { class: "field wide", for: "token" }, "Token", token),
      problem,
      element("button", { type: "submit", class: "primary" }, "Sign in"),
    );

    async function submit(event) {
      event.preventDefault();
      const answer = await fetch("/v1/login", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ token: token.value }),
      }).catch((error) => ({ ok: false, status: 0, statusText: error.message }));
      if (answer.ok) {
        remember("signedIn", "yes");
        resolve();
      } else
        say(
          problem,
          answer.status === 401
            ? "That is not the token."
            : `The daemon does not answer: ${answer.statusText}`,
        );
    }

    document.title = "Sign in · rtspdsr";
    main.replaceChildren(form);
    token.focus();
  });
}

/** Whether this browser has signed in; the cookie itself is hidden from scripts. */
export function isSignedIn() {
  return recall("signedIn") !== null;
}

/** Give the cookie back. */
export async function signOut() {
  await fetch("/v1/login", { method: "DELETE" });
  remember("signedIn", null);
  location.reload();
}
