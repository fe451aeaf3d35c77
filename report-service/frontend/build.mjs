// Bundles src/ into the package's static folder: one small entry, the charts as a chunk of their own, and the worker.
import { rm } from "node:fs/promises";
import { build } from "esbuild";

const outdir = "../src/report_service/static/dist";
await rm(outdir, { recursive: true, force: true });
const usual = { outdir, bundle: true, target: "es2022", minify: true, legalComments: "eof", logLevel: "warning" };
await build({ ...usual, entryPoints: { app: "src/app.ts" }, splitting: true, format: "esm" });
await build({ ...usual, entryPoints: { shared: "src/shared.ts" }, format: "iife" }); // a worker's whole script
