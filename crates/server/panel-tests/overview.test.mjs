// The overview of a server that is new: what it has not seen, it does not show.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Server } from "../../../sdk/js/test/browser/harness.js";
import { Panel } from "./panel.mjs";

test("a fresh server shows no rate of a minute it has not seen, and no time before it was there", async () => {
  const server = await Server.start();
  const panel = await Panel.open(server);
  try {
    await panel.signIn();
    const tile = (/** @type {string} */ title) => panel.page.locator(".tile", { hasText: title }).locator("dd");
    await tile("Transitions a minute").filter({ hasText: "not yet" }).waitFor();
    await tile("Transitions a minute").filter({ hasText: "known when a minute is over" }).waitFor();
    await tile("Heartbeats a second").filter({ hasText: /first \d+ s/ }).waitFor();
    for (const span of ["Last hour", "Last day"]) {
      await panel.page.getByRole("button", { name: span }).click();
      await panel.page.getByText("The first samples come within a minute.").waitFor();
      await panel.page.getByText("there is no history of the time before").waitFor();
      assert.equal(await panel.page.locator("figure svg").count(), 0, span);
    }
    await panel.picture("fresh-overview");
  } finally {
    await panel.close().finally(() => server.stop());
  }
});
