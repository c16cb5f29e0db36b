/** A question that must be answered before something changes. Escape, and a click beside it, mean no. */

import { element } from "./element.js";

/**
 * Ask; gives true once `act` has been done, false if the answer was no.
 *
 * body:  nodes under the heading
 * act(): what "yes" does; while it fails the dialog stays, and shows the error
 */
export function confirm({ heading, body, yes, danger = false, act }) {
  return new Promise((resolve) => {
    const problem = element("p", { class: "problem", role: "alert", hidden: true });
    const no = element("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const go = element("button", { type: "submit", class: danger ? "danger" : "primary" }, yes);
    let done = false;

    const form = element(
      "form",
      { onsubmit: submit },
      element("h2", { id: "question" }, heading),
      ...body,
      problem,
      element("div", { class: "answers" }, no, go),
    );
    const dialog = element(
      "dialog",
      { "aria-labelledby": "question", onclose: close, onclick: beside },
      form,
    );

    async function submit(event) {
      event.preventDefault();
      go.disabled = true;
      try {
        await act();
        done = true;
        dialog.close();
      } catch (error) {
        problem.textContent = error.message;
        problem.hidden = false;
        go.disabled = false;
      }
    }
    function close() {
      dialog.remove();
      resolve(done);
    }
    function beside(event) {
      if (event.target === dialog) dialog.close();
    }

    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector("input") ?? no).focus();
  });
}
