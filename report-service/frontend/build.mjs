// Bundles src/ into the package's static folder: one small entry, and the charts as a chunk of their own.
import { rm } from "node:fs/promises";
import { build } from "esbuild";

const outdir = "../src/report_service/static/dist";
await rm(outdir, { recursive: true, force: true });
await build({
  entryPoints: { app: "src/app.ts" },
  outdir,
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "eof",
  logLevel: "warning",
});
