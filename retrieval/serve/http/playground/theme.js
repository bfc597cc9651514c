/** Light or dark: as the system says, until the reader chooses. Runs before the first paint. */

const NAME = "corpusmill.theme";
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

function apply(theme) {
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  document.getElementById("theme").setAttribute("aria-pressed", String(isDark()));
}

apply(localStorage.getItem(NAME));
system.addEventListener("change", () => apply(null));
document.getElementById("theme").addEventListener("click", () => {
  const chosen = isDark() ? "light" : "dark";
  localStorage.setItem(NAME, chosen);
  apply(chosen);
});
