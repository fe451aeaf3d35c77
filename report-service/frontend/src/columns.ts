// The switch between the desk's own sketch and all columns; the cookie is what the server reads next time.
export function rememberColumns(): void {
  const form = document.querySelector<HTMLFormElement>("form.columns");
  const table = document.getElementById("live");
  form?.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!(button instanceof HTMLButtonElement) || !table) return;
    event.preventDefault();
    table.dataset["columns"] = button.value;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `wattbook_columns=${button.value}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    for (const each of form.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
  });
}
