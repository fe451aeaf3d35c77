// Keys: arrows, t and g d follow the links that carry them, / finds, ? helps.
export function listenToKeys(): void {
  for (const opener of document.querySelectorAll<HTMLElement>("[data-opens]")) {
    opener.addEventListener("click", () => show(opener.dataset["opens"] ?? ""));
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (act(event.key)) event.preventDefault();
  });
}

let before = ""; // the first of two keys, as in g d

function act(typed: string): boolean {
  const key = before && typed.length === 1 ? `${before} ${typed}` : typed;
  before = typed === "g" && !before ? "g" : "";
  if (before) window.setTimeout(() => (before = ""), 1500);
  if (key === "?") return show("help");
  if (key === "/") {
    const search = document.getElementById("search");
    search?.focus();
    return search !== null;
  }
  const link = document.querySelector<HTMLAnchorElement>(`a[data-key="${CSS.escape(key)}"]`);
  link?.click();
  return link !== null;
}

function show(id: string): boolean {
  const dialog = document.getElementById(id);
  if (!(dialog instanceof HTMLDialogElement)) return false;
  document.querySelector<HTMLDetailsElement>("details.menu[open]")?.removeAttribute("open");
  dialog.showModal();
  return true;
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches("input:not([type=date]), textarea, select") || isInDate(target);
}

// In the date field the arrows move between day, month and year.
function isInDate(target: HTMLElement): boolean {
  return target.matches("input[type=date]");
}
