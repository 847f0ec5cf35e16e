// Makes presently.js, the one file that the server serves, of src/. `--check` only says whether it is up to date.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const path = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));

/** @returns {Promise<string>} the bundle */
export async function bundle() {
  const made = await build({
    entryPoints: [path("src/index.js")],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    banner: { js: "// Presently, the browser's half. Made of sdk/js/src by `npm run build`." },
  });
  return made.outputFiles[0].text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await bundle();
  if (!process.argv.includes("--check")) await writeFile(path("presently.js"), text);
  else if ((await readFile(path("presently.js"), "utf8")) !== text) {
    console.error("presently.js is not what src/ gives: npm run build");
    process.exit(1);
  }
}
