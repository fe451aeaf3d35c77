// Writes what the server streams into the page, piece by piece: order, scroll and focus stay.
import { writeAges } from "./ages";
import { deskNow } from "./clock";
import { figuresChanged } from "./events";
import { markNow } from "./rows";

const FIRST_WAIT_S = 0.5;
const LONGEST_WAIT_S = 15;
const SILENCE_MS = 25_000; // the server says something every 10 s

let source: EventSource | null = null;
let version = "";
let failures = 0;
let lostSince: Date | null = null;
let nextTry = 0;
let silence = 0;
let countdown = 0;
let carrier: HTMLElement | null = null;

// A live page follows its own stream; every other page, quietly, the feed's, for the pill in its header.
export function followStream(): void {
  carrier = document.querySelector<HTMLElement>("main[data-stream]") ?? document.querySelector("[data-stream]");
  if (!carrier) return;
  version = carrier.dataset["version"] ?? "";
  open();
  window.addEventListener("online", () => open());
  window.addEventListener("offline", () => lost());
  window.addEventListener("pagehide", () => source?.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) open();
  });
}

function open(): void {
  clearTimeout(nextTry);
  source?.close();
  const address = new URL(carrier?.dataset["stream"] ?? "", location.href);
  address.searchParams.set("last_event_id", version);
  const opened = new EventSource(address);
  source = opened;
  opened.addEventListener("open", connected);
  opened.addEventListener("beat", heard);
  opened.addEventListener("again", open); // the server wants to look at the session again
  opened.addEventListener("change", (event) => {
    heard();
    version = event.lastEventId;
    change(JSON.parse(event.data as string) as Record<string, string>);
  });
  // The browser's own tries would not say when they come, and end at the first refusal.
  opened.addEventListener("error", () => opened === source && lost());
}

function heard(): void {
  clearTimeout(silence);
  silence = window.setTimeout(lost, SILENCE_MS);
}

function connected(): void {
  heard();
  failures = 0;
  lostSince = null;
  clearInterval(countdown);
  if (isQuiet()) return;
  document.body.classList.remove("disconnected");
  const bar = document.getElementById("disconnected");
  if (bar) bar.hidden = true;
}

function lost(): void {
  source?.close();
  source = null;
  clearTimeout(silence);
  clearTimeout(nextTry);
  failures += 1;
  lostSince ??= new Date(deskNow());
  const wait_s = Math.min(FIRST_WAIT_S * 2 ** (failures - 1), LONGEST_WAIT_S) * (0.75 + Math.random() / 2);
  const at = Date.now() + wait_s * 1000;
  nextTry = window.setTimeout(open, wait_s * 1000);
  clearInterval(countdown);
  if (isQuiet()) return;
  const say = (): void => sayLost(Math.max(0, Math.ceil((at - Date.now()) / 1000)));
  say();
  countdown = window.setInterval(say, 1000);
  if (failures === 3) void checkSession();
}

// On a page that keeps itself fresh in another way, that way says when it is cut off.
function isQuiet(): boolean {
  return carrier?.dataset["quiet"] !== undefined;
}

function sayLost(seconds: number): void {
  const since = lostSince?.toLocaleTimeString("en-GB") ?? "";
  const next = seconds ? `Trying again in ${seconds} s.` : "Trying again now.";
  const bar = document.getElementById("disconnected");
  if (!bar) return;
  bar.textContent = `Disconnected since ${since}. The figures are those known then. ${next}`;
  bar.hidden = false;
  document.body.classList.add("disconnected");
}

async function checkSession(): Promise<void> {
  const answer = await fetch(location.href, { method: "HEAD", cache: "no-store" }).catch(() => null);
  if (!answer?.redirected) return;
  clearTimeout(nextTry);
  clearInterval(countdown);
  const bar = document.getElementById("disconnected");
  const link = Object.assign(document.createElement("a"), { textContent: "Sign in again", href: location.href });
  bar?.replaceChildren("You have been signed out. ", link);
}

function change(slots: Record<string, string>): void {
  const layout = document.querySelector('[data-slot="layout"]');
  if (layout && "layout" in slots && slots["layout"] !== layout.innerHTML) {
    void newRows().then(() => change(slots));
    layout.innerHTML = slots["layout"] ?? "";
    return;
  }
  const places = allPlaces();
  const changed: HTMLElement[] = [];
  const drawings: [string, string][] = [];
  for (const [name, text] of Object.entries(slots)) {
    if (name.startsWith("c:")) restyle(name.slice(2), text);
    else if (name.startsWith("svg.") || name.startsWith("ticks.")) drawings.push([name, text]);
    else rewrite(places.get(name) ?? [], text, changed);
  }
  // Figures first. What is drawn, and that something glows, may take a frame more.
  window.setTimeout(() => drawings.forEach(([name, text]) => rewrite(places.get(name) ?? [], text, [])));
  if (!document.hidden) requestAnimationFrame(() => glow(changed));
  if (isQuiet()) return;
  writeAges();
  markNow();
  document.dispatchEvent(new CustomEvent(figuresChanged, { detail: new Set(Object.keys(slots)) }));
}

// One walk through the page finds all of them; a selector a name would be a walk each.
function allPlaces(): Map<string, HTMLElement[]> {
  const found = new Map<string, HTMLElement[]>();
  for (const element of document.querySelectorAll<HTMLElement>("[data-slot]")) {
    const name = element.dataset["slot"] ?? "";
    const known = found.get(name);
    if (known) known.push(element);
    else found.set(name, [element]);
  }
  return found;
}

function restyle(name: string, classes: string): void {
  const element = document.querySelector(`[data-class="${CSS.escape(name)}"]`);
  if (!element) return;
  const kept = ["now", "marked", "drawn", "looked"].filter((each) => element.classList.contains(each));
  element.setAttribute("class", [classes, ...kept].join(" "));
}

const holder = document.createElement("div");

function rewrite(elements: HTMLElement[], text: string, changed: HTMLElement[]): void {
  for (const element of elements) {
    holder.innerHTML = text;
    if (element.innerHTML === holder.innerHTML) continue;
    element.innerHTML = text;
    const cell = element.closest<HTMLElement>("td, dd.big");
    if (cell && !element.matches(".quiet")) changed.push(cell);
  }
}

export function glow(cells: Iterable<HTMLElement>): void {
  const glowing = [...cells];
  for (const cell of glowing) cell.classList.remove("changed");
  void document.body.offsetWidth; // one layout for all of them restarts their animations
  for (const cell of glowing) cell.classList.add("changed");
}

// A trader who has just made a first trade: the only time that a row comes in.
async function newRows(): Promise<void> {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const [old, other] = [document.querySelector("#desk tbody"), fresh.querySelector("#desk tbody")];
  if (old && other) {
    const known = new Set([...old.children].map((row) => row.id));
    old.append(...[...other.children].filter((row) => !known.has(row.id)));
  } else {
    location.reload();
  }
}
