// The charts of a company's page, in place of the server's drawing and on its scale, with values on hover.
import { BarChart, LineChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { colourOf, tooltip, type Colour } from "./chartparts";
import { coloursChanged } from "./colours";
import { figuresChanged } from "./events";

echarts.use([BarChart, LineChart, GridComponent, TooltipComponent, CanvasRenderer]);

interface Series {
  labels: string[];
  closing: number[];
  in: number[];
  out: number[];
  lowest: [number, number];
  words: string[][];
  balance: [number, number];
  flows: [number, number];
}

const drawn = new Map<HTMLElement, echarts.ECharts>();

export function drawCash(): void {
  for (const figure of document.querySelectorAll<HTMLElement>("[data-cash-chart]")) {
    const plot = figure.querySelector<HTMLElement>(".plot");
    if (!plot) continue;
    const place = Object.assign(document.createElement("div"), { className: "live-chart" });
    place.setAttribute("aria-hidden", "true"); // the drawing below it has the words
    plot.append(place);
    drawn.set(figure, echarts.init(place, null, { renderer: "canvas" }));
    new ResizeObserver(() => drawn.get(figure)?.resize()).observe(place);
  }
  paint();
  document.addEventListener(coloursChanged, paint);
  document.addEventListener(figuresChanged, (event) => {
    if ((event as CustomEvent<Set<string>>).detail.has("cash-series")) paint();
  });
}

function paint(): void {
  const text = document.querySelector('[data-slot="cash-series"]')?.textContent;
  if (!text) return;
  const series = JSON.parse(text) as Series;
  const { colour, done } = colourOf();
  for (const [figure, chart] of drawn) {
    const name = figure.dataset["cashChart"] as "balance" | "flows";
    const [min, max] = series[name];
    chart.setOption(
      {
        animation: false,
        grid: { left: 0, right: 0, top: 0, bottom: 0, outerBoundsMode: "none" },
        xAxis: { type: "category", show: false, data: series.labels },
        yAxis: { type: "value", show: false, scale: true, min, max },
        tooltip: tooltip(colour, (at) => series.words[at] ?? []),
        series: name === "balance" ? balance(series, colour) : flows(series, colour),
      } as Parameters<echarts.ECharts["setOption"]>[0],
      { notMerge: true },
    );
    figure.classList.add("drawn");
  }
  done();
}

// A gradient runs over the line's own height, so that its colour changes where the line crosses 0.
function balance({ closing, lowest }: Series, colour: Colour): object[] {
  const [most, least] = [Math.max(...closing), Math.min(...closing)];
  const zero = most === least ? (most < 0 ? 0 : 1) : Math.min(1, Math.max(0, most / (most - least)));
  const [above, under] = [colour("--good-bar"), colour("--bad-bar")];
  const stops = [
    { offset: 0, color: above },
    { offset: zero, color: above },
    { offset: zero, color: under },
    { offset: 1, color: under },
  ];
  const flat = most === least ? (most < 0 ? under : above) : null;
  return [
    {
      type: "line",
      data: closing,
      symbol: closing.length === 1 ? "circle" : "none",
      silent: true,
      lineStyle: { width: 2, color: flat ?? new echarts.graphic.LinearGradient(0, 0, 0, 1, stops) },
      itemStyle: { color: flat ?? above },
    },
    {
      type: "line", // a single point: the lowest day
      data: closing.map((_, at) => (at === lowest[0] ? lowest[1] : null)),
      symbol: "circle",
      symbolSize: 9,
      silent: true,
      lineStyle: { width: 0 },
      itemStyle: { color: colour("--text") },
    },
  ];
}

function flows(series: Series, colour: Colour): object[] {
  const bars = (data: number[], name: string): object => ({
    type: "bar",
    stack: "flows",
    barCategoryGap: "28%",
    data,
    itemStyle: { color: colour(name) },
  });
  return [bars(series.in, "--good-bar"), bars(series.out, "--bad-bar")];
}
