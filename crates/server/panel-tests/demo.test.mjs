// The panel of a demo: alive within seconds, and marked.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { BIN, freePort, until } from "../../../sdk/js/test/browser/harness.js";
import { Panel } from "./panel.mjs";

test("a demo is alive, and says everywhere that it is one", async () => {
  const port = await freePort();
  const base = `http://localhost:${port}`;
  const program = spawn(BIN, ["demo", "--listen", `127.0.0.1:${port}`], { stdio: "ignore" });
  await until("the demo answers", 20_000, async () => (await fetch(`${base}/readyz`)).ok);
  const panel = await Panel.open({ base });
  try {
    await panel.page.goto(`${base}/admin`);
    await panel.page.getByText("A demo: everybody here is made up. Sign in as admin").waitFor();
    await panel.page.getByLabel("Username").fill("admin");
    await panel.page.getByLabel("Password").fill("demo-demo-demo");
    await panel.page.getByRole("button", { name: "Sign in" }).click();
    await panel.page.getByText("A demo: everybody here is made up, and nothing is kept.").waitFor();
    const online = panel.page.locator(".tile", { hasText: "Online now" }).locator("dd").first();
    await until("many are online", 5_000, async () => Number(await online.textContent()) >= 20);
    await panel.page.locator("figure svg path.line.online").waitFor();
    // The made-up past leads to the present, and begins with people, too.
    const samples = (window) => panel.page.evaluate(async (path) => (await (await fetch(path)).json()).samples, `/api/users/admin/overview/samples/?window=${window}`);
    const hour = (await samples("hour")).map((sample) => sample.online);
    const usual = hour.slice(0, -1).reduce((sum, one) => sum + one, 0) / (hour.length - 1);
    assert.ok(Math.abs(hour.at(-1) - usual) < 0.3 * usual, `${usual} on the average of the last hour, then ${hour.at(-1)}`);
    const day = (await samples("day")).map((sample) => sample.online);
    assert.ok(day.length > 280 && day[0] > 0.2 * Math.max(...day), `a day ago: ${day.slice(0, 5)}`);
    await panel.picture("demo-overview");

    await panel.page.goto(`${base}/admin#/users?ordering=-last_seen`);
    await panel.live();
    await panel.page.locator("tr[data-user]").first().waitFor();
    const statuses = () => panel.page.locator("tr[data-user] .dot").allTextContents();
    const before = (await statuses()).join();
    await until("somebody comes or goes", 10_000, async () => (await statuses()).join() !== before);
    await panel.picture("demo-users");
  } finally {
    await panel.close().finally(async () => {
      program.kill("SIGTERM");
      await Promise.race([once(program, "exit"), new Promise((late) => setTimeout(late, 5_000))]);
      program.kill("SIGKILL");
    });
  }
  assert.equal(program.exitCode ?? 0, 0);
});
