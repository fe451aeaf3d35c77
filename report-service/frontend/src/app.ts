// What the pages can do beyond links and forms. Every page works without it.
import { rememberColours } from "./colours";
import { listenToKeys } from "./keys";
import { keepFresh } from "./refresh";
import { markNow } from "./rows";

rememberColours();
listenToKeys();

for (const field of document.querySelectorAll<HTMLInputElement>('.days input[type="date"]')) {
  field.addEventListener("change", () => {
    if (field.value && field.validity.valid) field.form?.requestSubmit();
  });
}

document.addEventListener("click", (event) => {
  const menu = document.querySelector<HTMLDetailsElement>("details.menu[open]");
  if (menu && event.target instanceof Node && !menu.contains(event.target)) menu.open = false;
});

if (document.getElementById("hours")) {
  markNow();
  setInterval(markNow, 20_000);
  keepFresh();
  // Two frames later the page has been painted; only then is the larger script asked for.
  requestAnimationFrame(() => requestAnimationFrame(() => void import("./charts").then(({ draw }) => draw())));
}
