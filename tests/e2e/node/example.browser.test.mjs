// The example app behind the gateway in headless Chromium, used as a person would; then everything
// that the browser sent, received or kept is searched for credentials.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startExample, TOKEN_PATH } from '../lib/example.mjs';
import { ARTIFACTS, until } from '../lib/programs.mjs';
import { assertNoCredentials, startChromium, Visitor } from '../lib/visitor.mjs';

const FIRST = 'Tell me about the Analytical Engine, please';
const STOPPED = 'And now a long story about it, to be stopped';

describe('the example app in a browser', () => {
  let example;
  let chromium;
  let ada;
  let answered; // what the page got for its token
  const kept = [];

  before(async () => {
    example = await startExample();
    chromium = await startChromium('example');
    ada = await Visitor.arrive(chromium.browser, example.origin);
    ada.kept = kept;
    ada.page.on('response', async (response) => {
      if (new URL(response.url()).pathname !== TOKEN_PATH || !response.ok()) return;
      answered = await response.json().catch(() => answered); // a page that was left takes its answers along
    });
  });
  after(async () => {
    await chromium?.close();
    await example?.stop();
  });
  beforeEach(() => example.tap.clear());

  /** The chat requests that Behest saw, oldest first. */
  const chats = () => example.tap.calls.filter(({ path }) => path === '/v1/chat/completions');

  test('signing in, first wrongly, leaves nothing that scripts can read', async () => {
    assert.equal(ada.page.url(), `${example.origin}/sign-in`);
    await ada.signIn('ada@example.com', 'wrong');
    await ada.page.waitForSelector('.notice.bad:has-text("do not match")');
    await ada.signIn('ada@example.com');
    await ada.inside();
    assert.equal(ada.page.url(), `${example.origin}/`);
    assert.equal(await ada.tier(), 'free');
    const { cookie, local, session, databases, caches } = await ada.look();
    assert.deepEqual([cookie, local, session, databases, caches], ['', {}, {}, [], []]);
    const held = await ada.session();
    assert.ok(held.httpOnly && held.sameSite === 'Lax');
    assert.equal(held.value.split('.').length, 5, 'a sealed session, not a signed token');
  });

  test('the guide’s own client gets a placeholder, and streams by it', async () => {
    const begun = Date.now() / 1000;
    await ada.page.evaluate(() => {
      window.lengths = new Set();
      const note = () => window.lengths.add([...document.querySelectorAll('[data-role="assistant"] .text')].at(-1)?.innerText.length ?? 0);
      new MutationObserver(note).observe(document.querySelector('#messages'), { subtree: true, childList: true, characterData: true });
    });
    assert.match(await ada.ask(FIRST), /Analytical Engine/);
    const steps = await ada.page.evaluate(() => window.lengths.size);
    assert.ok(steps > 5, `the text grew in ${steps} steps`);

    const [chat] = chats();
    assert.equal(chat.token.claims.uid, 'credentials:ada');
    assert.equal(chat.token.claims.tier, 'free');
    assert.match(chat.header('x-thread-id'), /^th_/);
    assert.equal(chat.header('cookie'), undefined);
    assert.deepEqual(Object.keys(answered).sort(), ['expiresAt', 'sessionId', 'token', 'ttl']);
    assert.equal(answered.sessionId, chat.header('x-session-id'));
    assert.ok(!answered.token.includes('.') && !chat.token.raw.includes(answered.token), 'worth nothing');
    assert.ok(Math.abs(answered.expiresAt - begun - answered.ttl) < 120, 'in Unix seconds');
    await ada.look();
  });

  test('the thread is listed, opened again, and deleted', async () => {
    const [{ thread }] = await ada.page.locator('#threads li').evaluateAll((items) => items.map(({ dataset }) => ({ ...dataset })));
    await ada.page.click('#new-thread');
    assert.match(await ada.ask('Something else'), /Something else/);
    const ids = await ada.threads();
    assert.equal(ids.length, 2);
    assert.equal(new Set(chats().map((chat) => chat.header('x-thread-id'))).has(thread), false);
    await ada.page.click(`[data-thread="${thread}"] .thread`);
    await ada.page.waitForSelector(`.message[data-role="user"]:has-text("${FIRST}")`);
    assert.equal(await ada.answers.count(), 1);
    await ada.page.click(`[data-thread="${thread}"] .remove`);
    await ada.page.locator(`[data-thread="${thread}"]`).waitFor({ state: 'detached' });
    assert.deepEqual(await ada.threads(), ids.filter((id) => id !== thread));
    await ada.page.reload();
    await ada.inside();
    assert.deepEqual(await ada.threads(), ids.filter((id) => id !== thread));
  });

  test('Stop ends the stream, and Behest sees the browser leave', async () => {
    const before = await example.emulator.disconnects();
    await ada.say(STOPPED, 'emulator-long');
    await ada.page.waitForFunction(() => document.querySelector('[data-live="true"] .text')?.innerText.length > 20);
    await ada.page.click('#stop');
    await ada.page.waitForSelector('.stopped');
    await until('Behest sees it', async () => (await example.emulator.disconnects()) === before + 1);
    await until('the gateway hangs up', () => chats()[0].connection.closedAt);
    assert.equal(await ada.trouble.count(), 0);
    assert.match(await ada.ask('Are you still there?'), /still there/);
  });

  test('an upgrade counts from the very next message, in the same session', async () => {
    await ada.ask('Before');
    await ada.page.click('#upgrade');
    await ada.page.waitForSelector('#tier[data-tier="pro"]');
    assert.match(await ada.ask('After'), /on the pro tier/);
    const [earlier, later] = chats().map((chat) => ({ ...chat.token.claims, session: chat.header('x-session-id') }));
    assert.deepEqual([earlier.tier, later.tier], ['free', 'pro']);
    for (const claim of ['uid', 'sid', 'session']) assert.equal(later[claim], earlier[claim], claim);
    assert.ok(later.sid);
  });

  test('a tier that the browser makes up counts for nothing', async () => {
    const [status, session] = await ada.page.evaluate(async () => {
      const { csrfToken } = await (await fetch('/api/auth/csrf')).json();
      const forged = { tier: 'max', sub: 'credentials:grace', user: { tier: 'max', id: 'credentials:grace' } };
      const answer = await fetch('/api/auth/session', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ csrfToken, data: forged }),
      });
      return [answer.status, await answer.json()];
    });
    assert.equal(status, 200);
    assert.deepEqual([session.user.tier, session.user.id], ['pro', 'credentials:ada']);
    await ada.ask('Am I on max now?');
    const { tier, uid } = chats()[0].token.claims;
    assert.deepEqual([tier, uid], ['pro', 'credentials:ada']);
  });

  test('pictures of it, light and dark, wide and narrow', async () => {
    for (const colorScheme of ['light', 'dark']) {
      await ada.page.emulateMedia({ colorScheme });
      for (const width of [1280, 390]) {
        await ada.page.setViewportSize({ width, height: width > 800 ? 800 : 844 });
        const overflow = await ada.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.equal(overflow, 0, `${width} px wide`);
        await ada.page.screenshot({ path: join(ARTIFACTS, `example-chat-${colorScheme}-${width}.png`), animations: 'disabled' });
      }
    }
    await ada.page.click('.menu');
    await ada.page.locator('#sign-out').waitFor();
    await ada.page.screenshot({ path: join(ARTIFACTS, 'example-threads-dark-390.png'), animations: 'disabled' });
    await ada.page.emulateMedia({ colorScheme: null });
    await ada.page.setViewportSize({ width: 1280, height: 800 });
  });

  test('signing out ends it, here and in the other tab, with a clear message', async () => {
    const other = await ada.context.newPage();
    await other.goto(example.origin);
    await other.waitForFunction(() => document.querySelector('#model')?.value);
    await ada.page.bringToFront();
    await ada.signOut();
    await ada.page.waitForSelector('text=You have signed out.');
    assert.equal(await ada.session(), undefined);
    assert.deepEqual(await ada.call('/v1/models'), [401, 'session_missing']);
    assert.deepEqual(await ada.call(TOKEN_PATH, { method: 'POST' }), [401, 'session_missing']);
    assert.equal(example.tap.calls.filter(({ method }) => method === 'POST').length, 0);

    const told = other.locator('#trouble[data-status="401"]');
    await other.fill('#prompt', 'Anyone?');
    await other.click('#send');
    await told.waitFor();
    assert.match(await told.innerText(), /signed out/i);
    await other.screenshot({ path: join(ARTIFACTS, 'example-signed-out.png') });
    await told.locator('a').click();
    await other.waitForURL(`${example.origin}/sign-in`);
    assert.deepEqual(chats(), []);
    await ada.look();
    for (const colorScheme of ['light', 'dark']) {
      await other.emulateMedia({ colorScheme });
      for (const width of [1280, 390]) {
        await other.setViewportSize({ width, height: 844 });
        await other.screenshot({ path: join(ARTIFACTS, `example-sign-in-${colorScheme}-${width}.png`) });
      }
    }
  });

  test('no token and no key was ever sent, received or kept by the browser', async () => {
    assert.deepEqual(await example.emulator.violations(), []);
    const log = await chromium.close();
    chromium = undefined;
    const { sent, received, answered: answers } = assertNoCredentials(log, kept);

    // The log holds what it must hold, so that finding nothing in it means something.
    for (const text of [FIRST, STOPPED]) assert.ok(sent.includes(text), 'the prompts were sent');
    assert.match(sent, /^cookie: .*authjs\.session-token=eyJ/im);
    assert.match(received, /^set-cookie: authjs\.session-token=eyJ[^\n]*httponly/im);
    for (const part of ['chat.completion.chunk', 'session_missing', answered.sessionId, '"csrfToken"']) {
      assert.ok(answers.includes(part), `${part} was answered`);
    }
    for (const [line] of sent.matchAll(/^authorization: .*$/gim)) {
      assert.equal(line.trim().toLowerCase(), `authorization: bearer ${answered.token}`.toLowerCase());
    }
  });
});
