// The demo in headless Chromium, used as a person would; then everything that the browser sent,
// received or kept is searched for credentials.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { credentialsIn, netlogFlags, readNetlog, sessionOutsideCookies } from '../lib/netlog.mjs';
import { ARTIFACTS, DEMO_ASSETS, startProgram } from '../lib/programs.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const NETLOG = join(ARTIFACTS, 'browser-netlog.json');
const FLAGS = [
  '--no-sandbox', // as root in a container there is none to be had
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const FIRST = 'Tell me about the difference engine, please';
const SECOND = 'And now a long story about it, to be stopped';
const THIRD = 'One more, under another tier';

describe('the demo in a browser', () => {
  let demo;
  let origin;
  let browser;
  let context;
  let page;
  const kept = []; // what the page could read, at every step

  before(async () => {
    await mkdir(ARTIFACTS, { recursive: true });
    demo = await startProgram(async (port) => {
      const listen = `127.0.0.1:${await port()}`;
      origin = `http://${listen}`;
      return { name: 'behest-demo', args: ['--listen', listen, '--assets', DEMO_ASSETS], readyUrl: origin };
    });
    browser = await chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, ...netlogFlags(NETLOG)] });
    context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    page = await context.newPage();
    page.setDefaultTimeout(15_000);
    page.on('pageerror', (error) => kept.push(`page error: ${error.message}`));
    await page.goto(origin);
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
  });

  const status = (state) => page.waitForSelector(`#status[data-state="${state}"]`);
  const answers = () => page.locator('#messages .message.assistant');
  async function say(text) {
    await page.fill('#prompt', text);
    await page.click('#send');
  }

  /** Everything that scripts of this page can get hold of. */
  async function look() {
    const found = await page.evaluate(async () => ({
      cookie: document.cookie,
      local: { ...localStorage },
      session: { ...sessionStorage },
      databases: (await indexedDB.databases()).map(({ name }) => name),
      caches: await caches.keys(),
      workers: (await navigator.serviceWorker.getRegistrations()).length,
      url: location.href,
      html: document.documentElement.outerHTML,
    }));
    kept.push(JSON.stringify(found));
    return found;
  }

  /** The value of a header as a panel shows it. */
  const shown = (panel, name) => page.locator(`#${panel} .row[data-header="${name}"]`).first().innerText();

  test('signed out, a message is answered by the gateway itself', async () => {
    await say('Hello?');
    await page.waitForSelector('#messages .message.error[data-status="401"][data-code="session_missing"]');
    assert.match(await page.innerText('#messages .message.error'), /not signed in/i);
    await look();
  });

  test('signing in leaves nothing that scripts can read', async () => {
    await page.click('#sign-in-ada');
    await status('ready');
    assert.match(await page.innerText('#tier'), /\w/);
    const { cookie, local, session, databases, caches } = await look();
    assert.deepEqual([cookie, local, session, databases, caches], ['', {}, {}, [], []]);
    const [held] = (await context.cookies()).filter(({ name }) => /authjs\.session-token/.test(name));
    assert.ok(held.httpOnly && held.sameSite === 'Lax');
    assert.equal(held.value.split('.').length, 5, 'a sealed session, not a signed token');
  });

  test('a chat is streamed into the page', async () => {
    const lengths = new Set();
    await page.exposeFunction('grew', (length) => lengths.add(length));
    await page.evaluate(() => {
      new MutationObserver(() => {
        const last = [...document.querySelectorAll('#messages .message.assistant')].at(-1);
        if (last) window.grew(last.innerText.length);
      }).observe(document.querySelector('#messages'), { subtree: true, childList: true, characterData: true });
    });
    await say(FIRST);
    await answers().first().waitFor();
    await page.waitForFunction(() => document.querySelector('#status').textContent === 'Answered.');
    assert.ok((await answers().first().innerText()).length > 20);
    assert.ok(lengths.size > 3, `the text grew in ${lengths.size} steps`);
    await look();
  });

  test('the panel shows the cookie leaving and the token arriving, both redacted', async () => {
    const received = page.locator('#received .row[data-header="authorization"]');
    await received.waitFor();
    const token = await received.innerText();
    assert.match(token, /Bearer/);
    assert.match(await page.innerText('#received'), /ada/);
    const sent = await shown('sent', 'cookie');
    assert.match(sent, /authjs\.session-token/);
    assert.equal(await page.locator('#received .row[data-header="cookie"][data-change="removed"]').count(), 1);
    assert.deepEqual(credentialsIn(`${sent} ${token}`), []);
    await page.screenshot({ path: join(ARTIFACTS, 'demo-chat.png') });
  });

  test('Stop ends the stream, and Behest saw the browser leave', async () => {
    await say(SECOND);
    await page.waitForSelector('#messages .message.assistant.streaming');
    await page.click('#stop');
    const told = page.locator('#status[data-state="stopped"]').filter({ hasText: /disconnect/ });
    await told.waitFor();
    const [, ms] = /(\d+) ms/.exec(await told.innerText());
    assert.ok(Number(ms) < 1_000, `${ms} ms`);
    const cut = await answers().last().innerText();
    await say('Are you still there?');
    await page.waitForFunction(() => document.querySelector('#status').textContent === 'Answered.');
    assert.ok((await page.innerText('#messages')).includes(cut.trim().split('\n')[0]), 'what had arrived stays');
    await look();
  });

  test('a changed tier counts from the very next message', async () => {
    const before = (await page.innerText('#tier')).trim();
    await page.click('#tier-toggle');
    await page.waitForFunction((tier) => document.querySelector('#tier').textContent.trim() !== tier, before);
    const now = (await page.innerText('#tier')).trim();
    const asked = await answers().count();
    await say(THIRD);
    await page.waitForFunction((count) => document.querySelectorAll('#messages .message.assistant').length > count, asked);
    await page.waitForFunction(() => document.querySelector('#status').textContent === 'Answered.');
    const claims = await shown('received', 'authorization');
    assert.match(claims, new RegExp(`tier\\s+${now}\\b`));
    assert.doesNotMatch(claims, new RegExp(`tier\\s+${before}\\b`));
    await page.screenshot({ path: join(ARTIFACTS, 'demo-tier.png') });
    await look();
  });

  test('signing out ends it, with a clear message', async () => {
    await page.click('#sign-out');
    await status('signed-out');
    assert.deepEqual((await context.cookies()).filter(({ name }) => /session-token/.test(name)), []);
    await say('Anyone?');
    const error = page.locator('#messages .message.error[data-status="401"]').last();
    await error.waitFor();
    assert.match(await error.innerText(), /not signed in/i);
    await page.screenshot({ path: join(ARTIFACTS, 'demo-signed-out.png'), fullPage: true });
    await look();
  });

  test('no token and no key was ever sent, received or kept by the browser', async () => {
    await browser.close();
    browser = undefined;
    const log = await readNetlog(NETLOG);
    const sent = log.sent.join('\n');
    const received = log.received.join('\n');
    const answered = log.answers.join('\n');

    // The log holds what it must hold, so that finding nothing in it means something.
    for (const prompt of [FIRST, SECOND, THIRD]) assert.ok(sent.includes(prompt), 'the prompts were sent');
    assert.match(sent, /^cookie: .*authjs\.session-token=eyJ/im);
    assert.match(received, /^set-cookie: authjs\.session-token=eyJ[^\n]*httponly/im);
    assert.match(answered, /chat\.completion\.chunk/);
    assert.match(answered, /session_missing/);
    assert.doesNotMatch(received, /^content-encoding:/im); // else the search below would be blind
    assert.notDeepEqual(credentialsIn(`Bearer eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl`), []);
    assert.notDeepEqual(credentialsIn('behest_sk_live_0123456789abcdef'), []);
    assert.ok(sessionOutsideCookies('{"leak":"eyJhbGciOi..aXZpdml2.Y2lwaGVy.dGFndGFn"}'));

    for (const [where, text] of Object.entries({ sent, received, answered, log: log.text, kept: kept.join('\n') })) {
      assert.deepEqual(credentialsIn(text), [], where);
    }
    for (const [where, text] of Object.entries({ sent, received, answered, kept: kept.join('\n') })) {
      assert.ok(!sessionOutsideCookies(text), `a sealed session outside of cookies: ${where}`);
    }
    // The page sends what the SDK always sends, and that is no credential.
    for (const [line] of sent.matchAll(/^authorization: .*$/gim)) assert.equal(line.trim().toLowerCase(), 'authorization: bearer unused');
    assert.deepEqual(kept.filter((entry) => entry.startsWith('page error')), []);
  });
});
