/* Before the first paint, so that a chosen theme does not flash: the only script that is no module. */
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  /* storage may be forbidden: then the system's colours it is */
}
