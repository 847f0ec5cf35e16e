import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));
const read = async (name) => JSON.parse(await readFile(new URL(`../${name}`, import.meta.url), "utf8"));

test("what the package says it has is in it, and nothing else", async () => {
  const { exports, types } = await read("package.json");
  // Without scripts: `npm test` made the types just now, as `prepack` does.
  const packed = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: folder, encoding: "utf8" }));
  const files = packed[0].files.map(({ path }) => path);
  const promised = [types, ...Object.values(exports).flatMap((one) => Object.values(one))];
  for (const path of promised) assert.ok(files.includes(path.replace("./", "")), `${path} is not packed`);
  assert.ok(files.includes("presently.js"));
  for (const path of files) assert.match(path, /^(src|types)\/\w+(\.d)?\.[jt]s$|^(presently\.js|package\.json|README\.md)$/);
});

test("it depends on nothing, and its lock file names no registry", async () => {
  const { dependencies } = await read("package.json");
  assert.equal(dependencies, undefined);
  const { packages } = await read("package-lock.json");
  const hosts = Object.values(packages).flatMap(({ resolved }) => (resolved ? [new URL(resolved).host] : []));
  assert.deepEqual(hosts.filter((host) => host !== "registry.npmjs.org"), []);
});
