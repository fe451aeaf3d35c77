// What the pages can do beyond links and forms. Every page works without it.
import { writeAges } from "./ages";
import { tickMs } from "./clock";
import { rememberColours } from "./colours";
import { rememberColumns } from "./columns";
import { listenToKeys } from "./keys";
import { followStream } from "./live";
import { keepFresh } from "./refresh";
import { markNow } from "./rows";

rememberColours();
rememberColumns();
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
  setInterval(markNow, tickMs);
  keepFresh();
  // Two frames later the page has been painted; only then is the larger script asked for.
  requestAnimationFrame(() => requestAnimationFrame(() => void import("./charts").then(({ draw }) => draw())));
}

if (document.querySelector("main[data-stream]")) {
  const tick = (): void => {
    markNow();
    writeAges();
  };
  tick();
  setInterval(tick, tickMs);
  if (document.querySelector("[data-live-chart]")) {
    requestAnimationFrame(() =>
      requestAnimationFrame(() => void import("./livecharts").then(({ drawLive }) => drawLive())),
    );
  }
}

followStream();
