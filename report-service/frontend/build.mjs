// Bundles src/ into the package's static folder: one small entry, the charts as chunks of their own, and the worker;
// and draws the map.
import { rm } from "node:fs/promises";
import { build } from "esbuild";
import { drawWorld } from "./world.mjs";

const outdir = "../src/report_service/static/dist";
await rm(outdir, { recursive: true, force: true });
const usual = { outdir, bundle: true, target: "es2022", minify: true, legalComments: "eof", logLevel: "warning" };
await build({ ...usual, entryPoints: { app: "src/app.ts" }, splitting: true, format: "esm" });
await build({ ...usual, entryPoints: { shared: "src/shared.ts" }, format: "iife" }); // a worker's whole script
await drawWorld(`${outdir}/world.svg`);
