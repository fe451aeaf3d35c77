// Companies as one types: the list below follows, arrows go into it, and the address says what is asked for.
const WAIT_MS = 120;

export function findAsOneTypes(): void {
  const field = document.querySelector<HTMLInputElement>("input[data-finds]");
  const list = document.getElementById(field?.dataset["finds"] ?? "");
  if (!field || !list) return;
  let soon = 0;
  let asked: AbortController | null = null;

  const find = async (): Promise<void> => {
    const address = field.value.trim() ? `/cash?q=${encodeURIComponent(field.value.trim())}` : "/cash";
    asked?.abort();
    asked = new AbortController();
    const answer = await fetch(address, { headers: { "X-Part": "companies" }, signal: asked.signal }).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    list.innerHTML = await answer.text();
    history.replaceState(null, "", address);
    const title = document.getElementById("found-title");
    if (title) title.textContent = field.value.trim() ? `Found for “${field.value.trim()}”` : "Companies";
  };
  field.addEventListener("input", () => {
    clearTimeout(soon);
    soon = window.setTimeout(() => void find(), WAIT_MS);
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const rows = [...list.querySelectorAll<HTMLAnchorElement>("a.through")];
    const at = rows.indexOf(document.activeElement as HTMLAnchorElement);
    if (at < 0 && document.activeElement !== field) return;
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
    if (next < 0) field.focus();
    else rows[next]?.focus();
  });
}

// Switches take effect at once; without scripts a button stands beside them.
export function submitOnChange(): void {
  for (const form of document.querySelectorAll<HTMLFormElement>("form.auto")) {
    form.addEventListener("change", () => form.requestSubmit());
  }
}
