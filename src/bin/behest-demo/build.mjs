// Bundles the `openai` package as one file that the demo's page imports: node build.mjs <outdir>
import { build } from "esbuild";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const outdir = resolve(process.argv[2] ?? resolve(here, "../../../target/demo"));

await build({
  stdin: {
    contents: `export { default as OpenAI, APIError, APIUserAbortError, APIConnectionError } from "openai";`,
    resolveDir: here,
  },
  outfile: resolve(outdir, "openai.js"),
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  minify: true,
  legalComments: "eof",
  logLevel: "info",
});
