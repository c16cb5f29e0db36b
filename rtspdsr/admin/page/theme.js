/** Light, dark, or as the system has it; kept in this browser. */

import { remember } from "./storage.js";

/** Make the switch work. Whoever draws by colours listens to `theme` on the document. */
export function followTheme(group) {
  const chosen = document.documentElement.dataset.theme ?? "auto";
  for (const input of group.querySelectorAll("input")) {
    input.checked = input.value === chosen;
    input.addEventListener("change", () => choose(input.value));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
}

/** What a custom property of colour is now, as canvas takes it. */
export function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function choose(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  remember("theme", theme);
  tell();
}

function tell() {
  document.dispatchEvent(new Event("theme"));
}
