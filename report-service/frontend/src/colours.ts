// The switch of colours, without a round trip; the cookie is what the server reads next time.
export const coloursChanged = "wattbook:colours";

export function rememberColours(): void {
  const form = document.querySelector<HTMLFormElement>("form.themes");
  form?.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!(button instanceof HTMLButtonElement)) return;
    event.preventDefault();
    document.documentElement.dataset["theme"] = button.value;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `wattbook_theme=${button.value}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    for (const each of form.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
    document.dispatchEvent(new Event(coloursChanged));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.dispatchEvent(new Event(coloursChanged)),
  );
}
