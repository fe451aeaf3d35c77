// Keeps the page true: asks whether it still holds (an answer of a few bytes), and changes what changed, in place.
import { deskNow } from "./clock";
import { markNow } from "./rows";

export const figuresChanged = "wattbook:figures";
const LONGEST_WAIT_S = 30;
const SIGNED_OUT_S = 300;

let tag = "";
let failures = 0;
let lostSince: Date | null = null;
let timer = 0;
let every = 5;
let isSignedOut = false;

export function keepFresh(): void {
  const main = document.querySelector<HTMLElement>("main[data-etag]");
  if (!main) return;
  tag = `W/"${main.dataset["etag"] ?? ""}"`;
  every = Number(main.dataset["refreshS"] ?? 5);
  const again = (): void => {
    clearTimeout(timer);
    if (document.visibilityState === "hidden") return;
    timer = window.setTimeout(() => void look().finally(again), wait() * 1000);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void look().finally(again);
  });
  again();
}

function wait(): number {
  if (isSignedOut) return SIGNED_OUT_S;
  return failures ? Math.min(every * 2 ** (failures - 1), LONGEST_WAIT_S) : every;
}

async function look(): Promise<void> {
  try {
    const answer = await fetch(location.href, {
      headers: { "If-None-Match": tag, Accept: "text/html" },
      cache: "no-store",
      signal: AbortSignal.timeout(10_000),
    });
    if (answer.redirected) return signedOut();
    if (answer.status === 200) change(await answer.text(), answer.headers.get("ETag") ?? "");
    else if (answer.status !== 304) throw new Error(`status ${answer.status}`);
    connected();
  } catch {
    failures += 1;
    lostSince ??= new Date(deskNow());
    const time = lostSince.toLocaleTimeString("en-GB");
    say(`Disconnected since ${time}. The figures are those known then. Trying again in ${wait()} s.`);
  }
}

function connected(): void {
  failures = 0;
  lostSince = null;
  isSignedOut = false;
  document.body.classList.remove("disconnected");
  const bar = document.getElementById("disconnected");
  if (bar) bar.hidden = true;
}

function signedOut(): void {
  isSignedOut = true;
  say("You have been signed out. ", { text: "Sign in again", href: location.href });
}

function say(words: string, link?: { text: string; href: string }): void {
  const bar = document.getElementById("disconnected");
  if (!bar || bar.textContent === words + (link?.text ?? "")) return;
  bar.textContent = words;
  if (link) bar.append(Object.assign(document.createElement("a"), { textContent: link.text, href: link.href }));
  bar.hidden = false;
  document.body.classList.add("disconnected");
}

function change(text: string, newTag: string): void {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const region of document.querySelectorAll<HTMLElement>("[data-region]")) {
    const other = fresh.querySelector<HTMLElement>(`[data-region="${region.dataset["region"]}"]`);
    if (other && other.outerHTML !== region.outerHTML) region.replaceWith(other);
  }
  const known = new Set<string>();
  for (const row of document.querySelectorAll<HTMLTableRowElement>("#hours tr[id]")) {
    const other = fresh.getElementById(row.id);
    if (other instanceof HTMLTableRowElement) changeRow(row, other);
    known.add(row.id);
  }
  const charts = document.getElementById("charts");
  if (charts) charts.className = fresh.getElementById("charts")?.className ?? charts.className;
  for (const figure of document.querySelectorAll<HTMLElement>("[data-chart]")) {
    const other = fresh.querySelector<HTMLElement>(`[data-chart="${figure.dataset["chart"]}"]`);
    if (other) changeChart(figure, other);
  }
  tag = newTag;
  markNow();
  document.dispatchEvent(new Event(figuresChanged));
}

function changeChart(figure: HTMLElement, other: HTMLElement): void {
  Object.assign(figure.dataset, other.dataset);
  for (const part of ["svg", ".ticks", ".nothing"]) {
    const [old, fresh] = [figure.querySelector(part), other.querySelector(part)];
    if (old && fresh) old.replaceWith(fresh);
    else old?.remove();
  }
}

function changeRow(row: HTMLTableRowElement, other: HTMLTableRowElement): void {
  const marked = row.classList.contains("marked");
  for (const { name, value } of [...other.attributes]) row.setAttribute(name, value);
  row.classList.toggle("marked", marked);
  [...row.cells].forEach((cell, at) => {
    const fresh = other.cells[at];
    if (!fresh || fresh.innerHTML === cell.innerHTML) return;
    cell.innerHTML = fresh.innerHTML;
    cell.classList.remove("changed");
    void cell.offsetWidth; // restarts the animation
    cell.classList.add("changed");
  });
}
