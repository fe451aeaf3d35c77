// How old a price is, in words that need no looking at a clock. Once its hour has begun the price no longer
// changes, and then it is the time that matters.
import { deskNow } from "./clock";

const STALE_MIN = 12; // the provider updates every 10 minutes

export function writeAges(): void {
  const now = deskNow();
  for (const element of document.querySelectorAll<HTMLTimeElement>("time.age")) {
    const start = Date.parse(element.closest<HTMLElement>("[data-start]")?.dataset["start"] ?? "");
    if (start <= now) continue; // the server's words stand
    const minutes = Math.max(0, Math.floor((now - Date.parse(element.dateTime)) / 60_000));
    const words = minutes < 60 ? `${minutes} min` : minutes < 1440 ? `${Math.floor(minutes / 60)} h` : "old";
    if (element.textContent !== words) element.textContent = words;
    element.classList.toggle("stale", minutes >= STALE_MIN);
    element.title = `${element.title.replace(/^stale, /, "")}`;
    if (minutes >= STALE_MIN) element.title = `stale, ${element.title}`;
  }
}
