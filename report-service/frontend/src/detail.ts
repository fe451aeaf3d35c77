// The panel beside the table: what stands behind a row. The table does not move, the address is the panel's
// own, Esc closes it, and what is new in an open row appears in it.
import { writeAges } from "./ages";
import { figuresChanged } from "./events";
import { glow } from "./live";

const LEAST_BETWEEN_MS = 1_000;
const SKELETON_AFTER_MS = 120;

let beside: HTMLElement;
let asked: AbortController | null = null;
let opener: HTMLElement | null = null;
let lastMs = 0;
let later = 0;

export function offerDetails(): void {
  const place = document.getElementById("beside");
  if (!place || !document.getElementById("live")) return;
  beside = place;
  document.querySelector("#live tr.looked")?.scrollIntoView({ block: "nearest" });
  document.addEventListener("click", clicked);
  document.addEventListener("keydown", pressed);
  document.addEventListener(figuresChanged, (event) => refreshFor((event as CustomEvent<Set<string>>).detail));
  window.addEventListener("popstate", () => {
    if (/\/(trades|prices)\/[^/]+$/.test(location.pathname)) void show(location.href);
    else clear();
  });
}

function clicked(event: MouseEvent): void {
  if (!(event.target instanceof Element) || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest("[data-closes]")) {
    event.preventDefault();
    close();
    return;
  }
  const link = event.target.closest<HTMLAnchorElement>("a[data-detail]") ?? linkOfRow(event.target);
  if (!link) return;
  event.preventDefault();
  opener = link.closest("#live") ? link : opener;
  if (link.href !== location.href) history[panel() ? "replaceState" : "pushState"]({ ours: true }, "", link.href);
  void show(link.href, true);
}

function linkOfRow(target: Element): HTMLAnchorElement | null {
  if (getSelection()?.toString()) return null; // somebody marks figures to copy them
  return target.closest("#live tbody tr")?.querySelector("th a") ?? null;
}

function pressed(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const menu = document.querySelector<HTMLDetailsElement>("details:has(> .sheet)[open]");
  if (event.key === "Escape" && menu) {
    menu.open = false;
    menu.querySelector("summary")?.focus();
  } else if (event.key === "Escape" && panel()) {
    close();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const row = document.activeElement?.closest("#live tbody tr");
    const next = event.key === "ArrowDown" ? row?.nextElementSibling : row?.previousElementSibling;
    const link = next?.querySelector<HTMLElement>("th a");
    if (!link) return;
    link.focus();
    event.preventDefault();
  }
}

function panel(): HTMLElement | null {
  return document.getElementById("detail");
}

async function show(url: string, takesFocus = false): Promise<void> {
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  const skeleton = window.setTimeout(() => (panel() ?? blank()).classList.add("waiting"), SKELETON_AFTER_MS);
  try {
    const answer = await fetch(url, { headers: { "X-Part": "detail" }, cache: "no-store", signal });
    if (answer.redirected) return location.assign(url); // signed out
    replace(await answer.text());
    if (takesFocus) document.getElementById("detail-title")?.focus({ preventScroll: true });
  } catch {
    if (!signal.aborted) failed(url);
  } finally {
    clearTimeout(skeleton);
  }
}

function replace(text: string): void {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("detail");
  if (!fresh) return location.reload();
  const old = panel();
  const isSame = old?.dataset["url"] === fresh.dataset["url"];
  const scrolled = old?.querySelector(".detail-body")?.scrollTop ?? 0;
  const known = new Set([...(old?.querySelectorAll<HTMLElement>("tr[data-id]") ?? [])].map((row) => row.dataset["id"]));
  const focus = isSame && old?.contains(document.activeElement) ? document.activeElement?.id : "";
  beside.replaceChildren(fresh);
  lastMs = Date.now();
  mark(fresh.dataset["row"] ?? "");
  writeAges();
  if (!isSame) return;
  const body = fresh.querySelector(".detail-body");
  if (body) body.scrollTop = scrolled;
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  if (!known.size) return;
  for (const row of fresh.querySelectorAll<HTMLTableRowElement>("tr[data-id]")) {
    if (!known.has(row.dataset["id"])) glow(row.cells);
  }
}

// What changed in the row that is open: ask again, at most once a second.
function refreshFor(names: Set<string>): void {
  const open = panel();
  const row = open?.dataset["row"];
  if (!open || !row) return;
  mark(row); // the row's classes may have been written anew
  if (![...names].some((name) => name.startsWith(`${row}.`))) return;
  clearTimeout(later);
  later = window.setTimeout(
    () => {
      const url = panel()?.dataset["url"];
      if (url) void show(url);
    },
    Math.max(0, lastMs + LEAST_BETWEEN_MS - Date.now()),
  );
}

function failed(url: string): void {
  const body = (panel() ?? blank()).querySelector(".detail-body");
  panel()?.classList.remove("waiting");
  const words = document.createElement("p");
  words.append(Object.assign(document.createElement("strong"), { textContent: "No answer from the server. " }));
  const again = Object.assign(document.createElement("a"), { textContent: "Try again", href: url });
  again.dataset["detail"] = "";
  words.append(again);
  const notice = Object.assign(document.createElement("div"), { className: "notice bad" });
  notice.setAttribute("role", "alert");
  notice.append(words);
  body?.replaceChildren(notice);
}

// Of the panel's size, until it comes.
function blank(): HTMLElement {
  const made = Object.assign(document.createElement("section"), { className: "detail waiting", id: "detail" });
  const body = Object.assign(document.createElement("div"), { className: "detail-body" });
  body.append(...Array.from({ length: 8 }, () => Object.assign(document.createElement("p"), { className: "bone" })));
  made.append(body);
  beside.replaceChildren(made);
  return made;
}

function close(): void {
  const home = panel()?.dataset["close"];
  if ((history.state as { ours?: boolean } | null)?.ours) history.back(); // and clear(), by popstate
  else if (home) {
    history.replaceState(null, "", home);
    clear();
  } else clear();
}

function clear(): void {
  asked?.abort();
  clearTimeout(later);
  beside.replaceChildren();
  mark("");
  opener?.focus({ preventScroll: true });
  opener = null;
}

function mark(row: string): void {
  for (const each of document.querySelectorAll("#live tr.looked")) each.classList.toggle("looked", each.id === row);
  if (row) document.getElementById(row)?.classList.add("looked");
}
