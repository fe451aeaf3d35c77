// Writes what the server streams into the page, piece by piece: order, scroll and focus stay.
import { writeAges } from "./ages";
import { deskNow, deskSays, wallTime } from "./clock";
import { figuresChanged } from "./events";
import { hearWhileVisible } from "./feed";
import { markNow } from "./rows";
import type { Said } from "./stream";

let carrier: HTMLElement | null = null;
let version = "";
let heard = deskNow(); // the last time that the figures were known to be as they are
let next = 0;
let countdown = 0;
let isRefused = false;

// A live page follows its own stream; every other page, quietly, the feed's, for the pill in its header.
export function followStream(): void {
  carrier = document.querySelector<HTMLElement>("main[data-stream]") ?? document.querySelector("[data-stream]");
  if (!carrier) return;
  version = carrier.dataset["version"] ?? "";
  hearWhileVisible({ topic: carrier.dataset["stream"] ?? "", version: () => version, hear });
}

function hear(said: Said): void {
  if (said.kind === "lost") lost(said.next, said.failures);
  else if (said.kind === "refused") {
    isRefused = true;
    say("This page is not kept fresh any more. Load it again.");
  } else connected(said);
}

function connected(said: Exclude<Said, { kind: "lost" | "refused" }>): void {
  if (said.kind === "alive") {
    deskSays(said.now);
    document.body.classList.add("live");
    clearInterval(countdown);
    if (!isQuiet() && !isRefused) {
      document.body.classList.remove("disconnected");
      const bar = document.getElementById("disconnected");
      if (bar) bar.hidden = true;
    }
  } else {
    isRefused = false;
    version = said.version;
    change(said.slots);
  }
  heard = deskNow();
}

function lost(again: number, failures: number): void {
  next = again;
  document.body.classList.remove("live");
  clearInterval(countdown);
  if (isQuiet()) return;
  sayLost();
  countdown = window.setInterval(sayLost, 1000);
  if (failures === 3) void checkSession();
}

// On a page that keeps itself fresh in another way, that way says when it is cut off.
function isQuiet(): boolean {
  return carrier?.dataset["quiet"] !== undefined;
}

function sayLost(): void {
  const seconds = Math.max(0, Math.ceil((next - Date.now()) / 1000));
  const old = Math.max(0, Math.floor((deskNow() - heard) / 1000));
  const age = old < 120 ? `${old} s` : `${Math.floor(old / 60)} min`;
  const tries = seconds ? `Trying again in ${seconds} s.` : "Trying again now.";
  say(`Disconnected. The figures are as known at ${wallTime(heard)}, ${age} ago. ${tries}`);
}

function say(words: string): void {
  const bar = document.getElementById("disconnected");
  if (!bar || isQuiet()) return;
  bar.textContent = words;
  bar.hidden = false;
  document.body.classList.add("disconnected");
}

async function checkSession(): Promise<void> {
  const answer = await fetch(location.href, { method: "HEAD", cache: "no-store" }).catch(() => null);
  if (!answer?.redirected) return;
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
