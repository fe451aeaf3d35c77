// The outlines of the countries, made once at build time: one SVG that the company page colours by classes.
import { readFile, writeFile } from "node:fs/promises";
import { geoNaturalEarth1, geoPath } from "d3-geo";
import { feature } from "topojson-client";

const WIDTH = 1000;
const ANTARCTICA = "010";
const KOSOVO = { code: "XK", name: "Kosovo" }; // without a number in ISO 3166-1

// Too small for outlines at this scale: longitude and latitude.
const DOTS = {
  AD: [1.5, 42.5], BB: [-59.5, 13.2], BH: [50.6, 26.1], BM: [-64.8, 32.3], FO: [-6.9, 62.0], GG: [-2.6, 49.5],
  GI: [-5.4, 36.1], HK: [114.2, 22.3], IM: [-4.5, 54.2], JE: [-2.1, 49.2], KY: [-81.3, 19.3], LC: [-61.0, 13.9],
  LI: [9.5, 47.2], MC: [7.4, 43.7], MO: [113.5, 22.2], MT: [14.4, 35.9], MU: [57.6, -20.3], MV: [73.5, 4.2],
  SC: [55.5, -4.7], SG: [103.8, 1.35], SM: [12.5, 43.9], ST: [6.7, 0.3], VA: [12.45, 41.9], VG: [-64.6, 18.4],
};

export async function drawWorld(target) {
  const atlas = JSON.parse(await readFile(new URL("node_modules/world-atlas/countries-110m.json", import.meta.url), "utf8"));
  const countries = feature(atlas, atlas.objects.countries).features.filter(({ id }) => id !== ANTARCTICA);
  const projection = geoNaturalEarth1().fitWidth(WIDTH, { type: "FeatureCollection", features: countries });
  const path = geoPath(projection).digits(1);
  const height = Math.ceil(path.bounds({ type: "FeatureCollection", features: countries })[1][1]);
  const lands = countries.map((each) => {
    const name = each.properties.name === KOSOVO.name ? ` id="${KOSOVO.code}"` : each.id ? ` id="n${each.id}"` : "";
    return `<path${name} d="${path(each)}"/>`;
  });
  const dots = Object.entries(DOTS).map(([code, place]) => {
    const [x, y] = projection(place).map((each) => each.toFixed(1));
    return `<circle id="${code}" cx="${x}" cy="${y}" r="3"/>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}">\n${[...lands, ...dots].join("\n")}\n</svg>\n`;
  await writeFile(target, svg);
}
