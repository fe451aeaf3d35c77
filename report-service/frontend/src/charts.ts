// The charts, in place of the bars that the server drew: the same bars, with their values on hover.
import { BarChart, LineChart } from "echarts/charts";
import { AriaComponent, GridComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { coloursChanged } from "./colours";
import { figuresChanged } from "./refresh";
import { type Hour, hours } from "./rows";

echarts.use([BarChart, LineChart, GridComponent, TooltipComponent, AriaComponent, CanvasRenderer]);

export type Option = Parameters<echarts.ECharts["setOption"]>[0];
export type Colour = (name: string) => string;
type Drawer = (figure: HTMLElement, rows: Hour[], colour: Colour) => Option;

const { fontFamily } = getComputedStyle(document.body);
const drawers: Record<string, Drawer> = { pnl, volume };
const drawn = new Map<HTMLElement, { chart: echarts.ECharts; option: Drawer }>();
const locale = document.querySelector<HTMLElement>("main")?.dataset["locale"] ?? "en";
const { format: number } = new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 3 });

export function draw(): void {
  for (const figure of document.querySelectorAll<HTMLElement>("[data-chart]")) {
    const option = drawers[figure.dataset["chart"] ?? ""];
    const plot = figure.querySelector<HTMLElement>(".plot");
    if (!option || !plot) continue;
    const place = Object.assign(document.createElement("div"), { className: "live-chart" });
    place.setAttribute("aria-hidden", "true"); // the drawing below it has the words
    plot.append(place);
    drawn.set(figure, { chart: echarts.init(place, null, { renderer: "canvas" }), option });
    new ResizeObserver(() => drawn.get(figure)?.chart.resize()).observe(place);
  }
  paint();
  linkRows();
  document.addEventListener(coloursChanged, paint);
  document.addEventListener(figuresChanged, paint);
}

function paint(): void {
  const rows = hours();
  const { colour, done } = colourOf();
  const anything = rows.some((row) => row.trades > 0);
  for (const [figure, { chart, option }] of drawn) {
    chart.setOption(option(figure, rows, colour), { notMerge: true });
    figure.classList.toggle("drawn", anything);
    chart.getDom().hidden = !anything;
  }
  done();
}

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

function pnl(figure: HTMLElement, rows: Hour[], colour: Colour): Option {
  let sum = 0;
  const running = rows.map((row) => (sum += row.pnlEur));
  return {
    ...frame(figure),
    tooltip: tooltip(colour, named(rows, (row) => [`PnL  ${row.cells[4]} €`, `${row.cells[1]} trades`])),
    series: [
      {
        type: "bar",
        barCategoryGap: "28%",
        data: rows.map((row) => {
          const color = colour(row.pnlEur < 0 ? "--bad-bar" : "--good-bar");
          return { value: row.pnlEur, itemStyle: { color } };
        }),
        emphasis: { itemStyle: { opacity: 0.8 } },
      },
      {
        type: "line",
        name: "running total",
        data: running,
        symbol: "none",
        silent: true,
        lineStyle: { width: 1.5, color: colour("--muted"), type: [3, 3] },
      },
    ],
  };
}

function volume(figure: HTMLElement, rows: Hour[], colour: Colour): Option {
  const bars = (name: string, values: number[]): object => ({
    type: "bar",
    stack: "energy",
    barCategoryGap: "28%",
    itemStyle: { color: colour(name) },
    emphasis: { itemStyle: { opacity: 0.8 } },
    data: values,
  });
  return {
    ...frame(figure),
    tooltip: tooltip(
      colour,
      named(rows, (row) => [`Bought  ${number(row.boughtMwh)} MWh`, `Sold  ${number(row.soldMwh)} MWh`]),
    ),
    series: [
      bars(
        "--buy-bar",
        rows.map((row) => row.boughtMwh),
      ),
      bars(
        "--sell-bar",
        rows.map((row) => -row.soldMwh),
      ),
    ],
  };
}

// Scale and place are the server's, so that nothing moves when these bars take the place of its drawing;
// the axes' words are its as well.
function frame(figure: HTMLElement): object {
  return {
    animation: false,
    grid: { left: 0, right: 0, top: 0, bottom: 0, outerBoundsMode: "none" },
    xAxis: { type: "category", show: false, axisPointer: { type: "shadow" } },
    yAxis: { type: "value", show: false, min: Number(figure.dataset["low"]), max: Number(figure.dataset["high"]) },
  };
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
    textStyle: { color: colour("--text"), fontFamily, fontSize: 13, lineHeight: 19 },
    formatter: (points: { dataIndex: number }[]) => words(points[0]?.dataIndex ?? -1).join("\n"),
  };
}

function named(rows: Hour[], words: (row: Hour) => string[]): (at: number) => string[] {
  return (at) => {
    const row = rows[at];
    return row ? [row.label, ...words(row)] : [];
  };
}

// A row and its bars point at each other.
function linkRows(): void {
  const rows = [...document.querySelectorAll<HTMLTableRowElement>("#hours tbody tr")];
  rows.forEach((row, dataIndex) => {
    const tell = (type: string) => (): void => {
      for (const { chart } of drawn.values()) chart.dispatchAction({ type, dataIndex });
    };
    row.addEventListener("mouseenter", tell("highlight"));
    row.addEventListener("mouseleave", tell("downplay"));
  });
  for (const { chart } of drawn.values()) {
    chart.on("updateAxisPointer", (event) => {
      const at = (event as { dataIndex?: number }).dataIndex;
      rows.forEach((row, index) => row.classList.toggle("marked", index === at));
    });
    chart.on("globalout", () => rows.forEach((row) => row.classList.remove("marked")));
  }
}
