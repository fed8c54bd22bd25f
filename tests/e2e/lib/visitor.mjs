// A person at the example app, in a browser context of their own; and Chromium, with its network log.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { credentialsIn, netlogFlags, readNetlog, sessionOutsideCookies } from './netlog.mjs';
import { ARTIFACTS } from './programs.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox', // as root in a container there is none to be had
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** As the sign-in page says. */
export const PASSWORD = 'lovelace';
/** How long a page may take; a busy machine with a debug build is slow. */
const PATIENCE_MS = 20_000;

/** Chromium with a network log named `name`; `close` ends it and gives the log. */
export async function startChromium(name) {
  await mkdir(ARTIFACTS, { recursive: true });
  const file = join(ARTIFACTS, `${name}-netlog.json`);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, ...netlogFlags(file)] });
  return {
    browser,
    async close() {
      await browser.close();
      return readNetlog(file);
    },
  };
}

export class Visitor {
  /** What scripts of the page could get hold of, at every look; and errors that the page threw. */
  kept = [];

  /** Somebody new, at the door of the app at `origin`. */
  static async arrive(browser, origin, options = {}) {
    const visitor = new Visitor();
    visitor.origin = origin;
    visitor.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    visitor.page = await visitor.context.newPage();
    visitor.page.setDefaultTimeout(PATIENCE_MS);
    visitor.page.on('pageerror', (error) => visitor.kept.push(`page error: ${error.message}`));
    await visitor.page.goto(origin);
    return visitor;
  }

  async signIn(email, password = PASSWORD) {
    await this.page.fill('[name="email"]', email);
    await this.page.fill('[name="password"]', password);
    await this.page.click('button:text-is("Sign in")');
  }

  /** By the OpenID Connect provider, as the account of this name. */
  async signInElsewhere(name) {
    await this.page.click('text=Continue with Example ID');
    await this.page.click(`button:has-text("${name}")`);
  }

  /** Waits until the chat can be used. */
  async inside() {
    await this.page.waitForFunction(() => document.querySelector('#model')?.value && document.querySelector('#threads')?.ariaBusy === 'false');
  }

  async signOut() {
    await this.page.click('#sign-out');
    await this.page.waitForURL(`${this.origin}/sign-in?left`);
  }

  get answers() {
    return this.page.locator('.message[data-role="assistant"] .text');
  }

  get trouble() {
    return this.page.locator('#trouble');
  }

  async say(text, model = 'emulator') {
    await this.page.selectOption('#model', model);
    await this.page.fill('#prompt', text);
    await this.page.click('#send');
  }

  /** Says something, waits for the whole answer, and gives its text. */
  async ask(text) {
    const before = await this.answers.count();
    await this.say(text);
    await this.answers.nth(before).waitFor();
    await this.page.waitForSelector('#messages[aria-busy="false"]');
    return this.answers.nth(before).innerText();
  }

  tier() {
    return this.page.innerText('#tier');
  }

  /** The threads in the list, by id. */
  threads() {
    return this.page.locator('#threads li').evaluateAll((items) => items.map((item) => item.dataset.thread));
  }

  /** Calls the API as a script of the page would: the status, and the gateway's code word. */
  call(path, init) {
    return this.page.evaluate(
      ([where, how]) => fetch(where, how).then((answer) => [answer.status, answer.headers.get('x-gateway-error')]),
      [path, init],
    );
  }

  /** The session cookie as the browser holds it. */
  async session() {
    const cookies = await this.context.cookies(this.origin);
    return cookies.find(({ name }) => name === 'authjs.session-token');
  }

  /** Reads everything that scripts of the page can read. */
  async look() {
    const found = await this.page.evaluate(async () => ({
      cookie: document.cookie,
      local: { ...localStorage },
      session: { ...sessionStorage },
      databases: (await indexedDB.databases()).map(({ name }) => name),
      caches: await caches.keys(),
      url: location.href,
      html: document.documentElement.outerHTML,
    }));
    this.kept.push(JSON.stringify(found));
    return found;
  }

  leave() {
    return this.context.close();
  }
}

/** Asserts that a browser which left `log` behind never sent, received or kept a token or a key. */
export function assertNoCredentials(log, kept) {
  const [sent, received, answered] = [log.sent, log.received, log.answers].map((texts) => texts.join('\n'));
  const seen = { sent, received, answered, kept: kept.join('\n') };
  for (const [where, text] of Object.entries({ ...seen, log: log.text })) assert.deepEqual(credentialsIn(text), [], where);
  for (const [where, text] of Object.entries(seen)) {
    assert.ok(!sessionOutsideCookies(text), `a sealed session outside of cookies: ${where}`);
  }
  assert.deepEqual(kept.filter((entry) => entry.startsWith('page error')), []);
  return { sent, received, answered };
}
