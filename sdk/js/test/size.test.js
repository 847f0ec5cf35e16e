import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { bundle } from "../build.js";

test("presently.js is what the sources give", async () => {
  const committed = await readFile(new URL("../presently.js", import.meta.url), "utf8");
  assert.ok(committed === (await bundle()), "npm run build");
});

test("it is under 5 KB, minified and compressed", async () => {
  const bytes = gzipSync(await bundle(), { level: 9 }).length;
  console.log(`${bytes} bytes`);
  assert.ok(bytes < 5000, `${bytes} bytes`);
});
