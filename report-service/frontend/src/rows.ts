// The table is the one place where the page's figures are; scripts read them from its rows.
import { deskNow } from "./clock";

export interface Hour {
  label: string;
  trades: number;
  boughtMwh: number;
  soldMwh: number;
  pnlEur: number;
  cells: string[]; // as written in the table
}

const HOUR_MS = 3_600_000;

export function hours(): Hour[] {
  return [...document.querySelectorAll<HTMLTableRowElement>("#hours tbody tr")].map((row) => ({
    label: row.dataset["label"] ?? "",
    trades: Number(row.dataset["trades"]),
    boughtMwh: Number(row.dataset["buy"]),
    soldMwh: Number(row.dataset["sell"]),
    pnlEur: Number(row.dataset["pnl"]),
    cells: [...row.cells].map((cell) => cell.innerText.trim()),
  }));
}

export function markNow(): void {
  const now = deskNow();
  for (const row of document.querySelectorAll<HTMLTableRowElement>("tbody tr[data-start]")) {
    const start = Date.parse(row.dataset["start"] ?? "");
    row.classList.toggle("now", start <= now && now < start + HOUR_MS);
  }
}
