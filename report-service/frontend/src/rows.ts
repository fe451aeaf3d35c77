// The row of the hour it is now, in pages of a day.
import { deskNow } from "./clock";

const HOUR_MS = 3_600_000;

export function markNow(): void {
  const now = deskNow();
  for (const row of document.querySelectorAll<HTMLTableRowElement>("tbody tr[data-start]")) {
    const start = Date.parse(row.dataset["start"] ?? "");
    row.classList.toggle("now", start <= now && now < start + HOUR_MS);
  }
}
