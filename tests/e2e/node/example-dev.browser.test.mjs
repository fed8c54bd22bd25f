// `next dev` behind the gateway, as while developing: the page loads, its WebSocket is tunnelled, and
// a change of a source file shows without a reload.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startExample } from '../lib/example.mjs';
import { until } from '../lib/programs.mjs';
import { assertNoCredentials, startChromium, Visitor } from '../lib/visitor.mjs';

describe('the example app while it is developed', () => {
  let example;
  let chromium;
  let ada;
  const sockets = []; // { url, frames } of each WebSocket that a page opened

  before(async () => {
    example = await startExample({ dev: true });
    chromium = await startChromium('example-dev');
    const options = { viewport: { width: 1280, height: 800 } };
    ada = await Visitor.arrive(chromium.browser, 'about:blank', options);
    ada.origin = example.origin;
    ada.page.setDefaultTimeout(60_000); // it is compiled while it is asked for
    ada.page.on('websocket', (socket) => {
      const seen = { url: socket.url(), received: 0, sent: 0, failed: undefined };
      socket.on('framereceived', () => seen.received++);
      socket.on('framesent', () => seen.sent++);
      socket.on('socketerror', (error) => (seen.failed = error));
      sockets.push(seen);
    });
  });
  after(async () => {
    await chromium?.close();
    await example?.stop();
  });

  /**
   * Changes the placeholder until the page shows it. Turbopack takes what is there while it builds for a
   * freshly loaded page as what that page has, so that it tells nothing of a change made just then.
   */
  async function edit(file) {
    const source = await readFile(file, 'utf8');
    assert.ok(source.includes('placeholder="Ask anything"'));
    const shown = () => ada.page.waitForSelector('#prompt[placeholder^="Ask me"]', { timeout: 3_000 }).catch(() => undefined);
    let change = 0;
    await until('the change shows', async () => {
      await writeFile(file, source.replace('"Ask anything"', `"Ask me, change ${++change}"`));
      return shown();
    }, 60_000);
  }

  test('the page loads, and its WebSocket goes through the gateway', async () => {
    await ada.page.goto(example.origin);
    await ada.signIn('ada@example.com');
    await ada.inside();
    const own = () => sockets.find(({ url, received }) => url.startsWith(example.origin.replace('http', 'ws')) && received > 0);
    await until('frames arrive', own, 30_000);
    assert.match(own().url, /\/_next\/.*hmr/);
    assert.equal(own().failed, undefined);
    assert.match(await ada.ask('Are you there while I write code?'), /while I write code/);
  });

  test('a changed component shows without a reload, and what was typed stays', async () => {
    // Turbopack tells a page of changes to what it was loaded with, and signing in was no loading.
    await ada.page.reload();
    await ada.inside();
    await ada.page.fill('#prompt', 'half a sentence');
    await ada.page.evaluate(() => (window.loadedOnce = true));
    await edit(join(example.root, 'components/composer.tsx'));
    assert.equal(await ada.page.evaluate(() => window.loadedOnce), true);
    assert.equal(await ada.page.inputValue('#prompt'), 'half a sentence');
  });

  test('none of this put a token or a key into the browser', async () => {
    await ada.look();
    const log = await chromium.close();
    chromium = undefined;
    const { received } = assertNoCredentials(log, ada.kept);
    assert.match(received, /101 Switching Protocols/);
  });
});
