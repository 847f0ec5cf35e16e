// The panel in a real browser. Whatever a test does, it ends with no console error, no policy violation and no request to
// another host: `Panel.close` looks.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PASSWORD, launch, until } from "../../../sdk/js/test/browser/harness.js";

/** Where pictures go. */
export const PICTURES = process.env.PICTURES ?? join(tmpdir(), "presently-pictures");

/** A browser on the panel of a server. */
export class Panel {
  static async open(server, options = {}) {
    const panel = new Panel();
    panel.server = server;
    panel.browser = await launch();
    await panel.renew(options);
    return panel;
  }

  /** A fresh context: no cookies. */
  async renew(options = {}) {
    await this.context?.close();
    this.faults = [];
    /** Set while the server is away: what the browser says of that is no fault. */
    this.away = false;
    /** What a test asks for and the browser writes down as an error: an answer that refuses. */
    this.expected = undefined;
    this.context = await this.browser.newContext({ viewport: { width: 1280, height: 860 }, locale: "en-GB", timezoneId: "Europe/Berlin", ...options });
    this.context.on("weberror", (error) => this.faults.push(`error: ${error.error().stack}`));
    this.context.on("console", (message) => {
      const text = message.text();
      // The browser writes down every answer that is no success; those that a test asks for are no fault.
      if (message.type() === "error" && !(this.away && /Failed to load|ERR_/.test(text)) && !this.expected?.test(text)) this.faults.push(`console: ${text}`);
    });
    this.context.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${this.server.base}/`)) this.faults.push(`elsewhere: ${url}`);
    });
    this.page = await this.context.newPage();
    await this.context.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  }

  async signIn(username = "boss", hash = "") {
    await this.page.goto(`${this.server.base}/admin${hash}`);
    await this.page.getByLabel("Username").fill(username);
    await this.page.getByLabel("Password").fill(PASSWORD);
    await this.page.getByRole("button", { name: "Sign in" }).click();
    await this.page.getByRole("navigation", { name: "Pages", exact: true }).waitFor();
  }

  async go(hash) {
    await this.page.goto(`${this.server.base}/admin${hash}`);
  }

  /** The dot of a user in the table. */
  status(id) {
    return this.page.locator(`tr[data-user="${id}"] .dot`).textContent({ timeout: 100 });
  }

  /** Waits until the table shows this, at most two seconds. */
  shows(id, status, ms = 2_000) {
    return until(`user ${id} shows ${status}`, ms, async () => (await this.status(id)) === status);
  }

  async live() {
    await this.page.locator(".push.live").waitFor();
  }

  async picture(name) {
    mkdirSync(PICTURES, { recursive: true });
    // Nothing is pointed at.
    await this.page.mouse.move(0, 0);
    return this.page.screenshot({ path: join(PICTURES, `${name}.png`) });
  }

  async close() {
    await this.browser.close();
    assert.deepEqual(this.faults, []);
  }
}
