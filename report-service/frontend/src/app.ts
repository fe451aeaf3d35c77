// What the pages can do beyond links and forms. Every page works without it.
import { writeAges } from "./ages";
import { findAsOneTypes, submitOnChange } from "./cash";
import { tickMs } from "./clock";
import { rememberColours } from "./colours";
import { rememberColumns } from "./columns";
import { offerDetails } from "./detail";
import { listenToKeys } from "./keys";
import { followStream } from "./live";
import { markNow } from "./rows";

rememberColours();
rememberColumns();
listenToKeys();
offerDetails();
findAsOneTypes();
submitOnChange();

for (const field of document.querySelectorAll<HTMLInputElement | HTMLSelectElement>(".days input[type=date], .days select")) {
  field.addEventListener("change", () => {
    if (field.value && field.validity.valid) field.form?.requestSubmit();
  });
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll<HTMLDetailsElement>("details:has(> .sheet)[open]")) {
    if (event.target instanceof Node && !menu.contains(event.target)) menu.open = false;
  }
});

if (document.querySelector("main[data-stream]")) {
  const tick = (): void => {
    markNow();
    writeAges();
  };
  tick();
  setInterval(tick, tickMs);
  // Two frames later the page has been painted; only then is the larger script asked for.
  const painted = (then: () => void): number => requestAnimationFrame(() => requestAnimationFrame(then));
  if (document.querySelector("[data-live-chart]")) painted(() => void import("./charts").then(({ draw }) => draw()));
  if (document.querySelector("[data-cash-chart]")) painted(() => void import("./cashcharts").then(({ drawCash }) => drawCash()));
}

followStream();
