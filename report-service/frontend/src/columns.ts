// Which columns the table shows, without a round trip; the cookie is what the server reads next time.
export function rememberColumns(): void {
  const table = document.getElementById("live");
  const [presets, own] = ["presets", "own"].map((name) => document.querySelector<HTMLFormElement>(`form.${name}`));
  if (!table || !presets || !own) return;
  const boxes = [...own.querySelectorAll<HTMLInputElement>('[name="column"]')];
  const buttons = [...presets.querySelectorAll<HTMLButtonElement>("button")];

  const show = (names: string[]): void => {
    table.dataset["show"] = names.join(" ");
    table.toggleAttribute("data-wide", names.length > 6);
    for (const box of boxes) box.checked = names.includes(box.value);
    for (const each of buttons) each.setAttribute("aria-pressed", String(each.dataset["shows"] === names.join(" ")));
    const preset = buttons.find((each) => each.dataset["shows"] === names.join(" "));
    const secure = location.protocol === "https:" ? "; Secure" : "";
    const text = preset?.value ?? names.join(".");
    document.cookie = `wattbook_columns=${text}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  };

  presets.addEventListener("submit", (event) => {
    if (!(event.submitter instanceof HTMLButtonElement)) return;
    event.preventDefault();
    show((event.submitter.dataset["shows"] ?? "").split(" "));
  });
  own.addEventListener("change", (event) => {
    const names = boxes.filter((box) => box.checked).map((box) => box.value);
    if (names.length) show(names);
    else if (event.target instanceof HTMLInputElement) event.target.checked = true; // one at least
  });
}
