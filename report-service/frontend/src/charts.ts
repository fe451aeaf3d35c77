// The charts, in place of the server's drawing and on its scale, with values on hover.
import { BarChart, CandlestickChart, LineChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { colourOf, tooltip, type Colour } from "./chartparts";
import { coloursChanged } from "./colours";
import { figuresChanged } from "./events";

echarts.use([BarChart, CandlestickChart, LineChart, GridComponent, TooltipComponent, CanvasRenderer]);

type Option = Parameters<echarts.ECharts["setOption"]>[0];

type Known = number | null;
interface Series {
  ours: Known[];
  reference: Known[];
  pnl: number[];
  running: number[];
  average: [number, number];
  cumulative: [number, number];
}

const drawers: Record<string, (series: Series, colour: Colour) => object[]> = { average, cumulative };
const drawn = new Map<HTMLElement, echarts.ECharts>();
const PAINT_EVERY_MS = 200;
let soon = 0;

export function draw(): void {
  for (const figure of document.querySelectorAll<HTMLElement>("[data-live-chart]")) {
    const plot = figure.querySelector<HTMLElement>(".plot");
    if (!plot) continue;
    const place = Object.assign(document.createElement("div"), { className: "live-chart" });
    place.setAttribute("aria-hidden", "true"); // the drawing below it has the words
    plot.append(place);
    drawn.set(figure, echarts.init(place, null, { renderer: "canvas" }));
    new ResizeObserver(() => drawn.get(figure)?.resize()).observe(place);
  }
  paint();
  linkRows();
  document.addEventListener(coloursChanged, paint);
  document.addEventListener(figuresChanged, (event) => {
    if ((event as CustomEvent<Set<string>>).detail.has("series")) paintSoon();
  });
}

// Figures first: a chart takes longer to draw than all cells together, so it follows, some times a second.
function paintSoon(): void {
  soon ||= window.setTimeout(() => {
    soon = 0;
    paint();
  }, PAINT_EVERY_MS);
}

function paint(): void {
  const text = document.querySelector('[data-slot="series"]')?.textContent;
  if (!text) return;
  const series = JSON.parse(text) as Series;
  const { colour, done } = colourOf();
  for (const [figure, chart] of drawn) {
    const name = figure.dataset["liveChart"] as "average" | "cumulative";
    const drawer = drawers[name];
    if (!drawer) continue;
    const [min, max] = series[name];
    chart.setOption(
      {
        animation: false,
        grid: { left: 0, right: 0, top: 0, bottom: 0, outerBoundsMode: "none" },
        xAxis: { type: "category", show: false, data: series.pnl.map((_, at) => at), axisPointer: { type: "shadow" } },
        yAxis: { type: "value", show: false, scale: true, min, max },
        tooltip: tooltip(colour, (at) => words(name, at)),
        series: drawer(series, colour),
      } as Option,
      { notMerge: true },
    );
    figure.classList.add("drawn");
  }
  done();
}

function average({ ours, reference }: Series, colour: Colour): object[] {
  return [
    {
      type: "line",
      step: "middle",
      data: reference.map((value) => value ?? "-"),
      symbol: "none",
      silent: true,
      connectNulls: false,
      lineStyle: { width: 2, color: colour("--accent") },
    },
    {
      type: "candlestick", // open is the reference, close is ours
      barWidth: "72%",
      barMinWidth: 2,
      data: ours.map((value, at) => {
        const other = reference[at] ?? value;
        return value === null || other === null ? "-" : [other, value, Math.min(other, value), Math.max(other, value)];
      }),
      itemStyle: {
        color: colour("--good-bar"),
        color0: colour("--bad-bar"),
        borderColor: colour("--good-bar"),
        borderColor0: colour("--bad-bar"),
        borderColorDoji: colour("--unknown"),
      },
    },
  ];
}

function cumulative({ pnl, running }: Series, colour: Colour): object[] {
  return [
    {
      type: "bar",
      barCategoryGap: "28%",
      data: pnl,
      itemStyle: { color: colour("--cash-bar") },
    },
    { type: "line", data: running, symbol: "none", silent: true, lineStyle: { width: 2, color: colour("--accent") } },
  ];
}

// The table's own words: one place where figures are written.
function words(name: "average" | "cumulative", at: number): string[] {
  const row = document.querySelector<HTMLElement>(`#h${at}`);
  const cell = (column: string): string => {
    const copy = row?.querySelector(`td.${column}`)?.cloneNode(true) as HTMLElement | undefined;
    for (const each of copy?.querySelectorAll("time, .sr, b") ?? []) each.remove();
    return [...(copy?.querySelectorAll(".light > *") ?? [])].map((each) => each.textContent).join("  ") || (copy?.textContent ?? "");
  };
  const label = row?.dataset["label"] ?? "";
  if (name === "cumulative") return [label, `PnL  ${cell("pnl")} €`, `Edge  ${cell("edge")} €`];
  return [label, `Ours  ${cell("ours")}`, `Reference  ${cell("reference")}`, cell("doing")];
}

// A row and its bars point at each other.
function linkRows(): void {
  const rows = [...document.querySelectorAll<HTMLTableRowElement>("#live tbody tr")];
  rows.forEach((row, dataIndex) => {
    const tell = (type: string) => (): void => {
      for (const chart of drawn.values()) chart.dispatchAction({ type, dataIndex });
    };
    row.addEventListener("mouseenter", tell("highlight"));
    row.addEventListener("mouseleave", tell("downplay"));
  });
  for (const chart of drawn.values()) {
    chart.on("updateAxisPointer", (event) => {
      const at = (event as { dataIndex?: number }).dataIndex;
      rows.forEach((row, index) => row.classList.toggle("marked", index === at));
    });
    chart.on("globalout", () => rows.forEach((row) => row.classList.remove("marked")));
  }
}
