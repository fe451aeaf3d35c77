// What charts share: the page's colours as they are now, and how values on hover look.
export type Colour = (name: string) => string;

export function colourOf(): { colour: Colour; done: () => void } {
  const style = getComputedStyle(document.documentElement);
  const probe = document.body.appendChild(document.createElement("span"));
  probe.hidden = true;
  const colour = (name: string): string => {
    probe.style.color = style.getPropertyValue(name); // resolves light-dark()
    return getComputedStyle(probe).color;
  };
  return { colour, done: () => probe.remove() };
}

// As rich text on the canvas: an HTML tooltip would need inline styles, which the page's policy forbids.
export function tooltip(colour: Colour, words: (at: number) => string[]): object {
  return {
    trigger: "axis",
    renderMode: "richText",
    axisPointer: { type: "shadow", shadowStyle: { color: colour("--faint"), opacity: 0.12 } },
    backgroundColor: colour("--raised"),
    borderColor: colour("--line-strong"),
    borderWidth: 1,
    padding: [8, 10],
    confine: true,
    textStyle: { color: colour("--text"), fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 13, lineHeight: 19 },
    formatter: (points: { dataIndex: number }[]) => words(points[0]?.dataIndex ?? -1).join("\n"),
  };
}
