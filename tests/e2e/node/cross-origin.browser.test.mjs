// Pages on other origins than the gateway's, in headless Chromium: with the OpenAI SDK on an allowed
// one, and with everything that a page has on one that is not.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { v5 } from '../lib/cookies.mjs';
import { DEMO_ASSETS, until } from '../lib/programs.mjs';
import { startStack } from '../lib/stack.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];

/** A site that serves an empty page and the SDK; `at(host)` is its origin under that name. */
async function startPages() {
  const sdk = await readFile(join(DEMO_ASSETS, 'openai.js'));
  const page = `<!doctype html><title>page</title><script type="module">
    import * as sdk from '/openai.js';
    window.sdk = sdk;
    window.connect = (baseURL) => new sdk.OpenAI({
      baseURL, apiKey: 'unused', dangerouslyAllowBrowser: true, maxRetries: 0,
      fetchOptions: { credentials: 'include' },
    });
    window.failure = (error) => ({
      type: error.constructor.name, status: error.status, code: error.code,
      named: error.headers?.get('x-gateway-error'), retryAfter: error.headers?.get('retry-after'),
      requestId: error.headers?.get('x-request-id'), connection: error instanceof sdk.APIConnectionError,
    });
  </script>`;
  const server = createServer((request, response) => {
    const isSdk = request.url === '/openai.js';
    response.setHeader('content-type', isSdk ? 'text/javascript' : 'text/html');
    response.end(isSdk ? sdk : page);
  });
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
  return {
    at: (host) => `http://${host}:${server.address().port}`,
    stop: () => new Promise((done) => (server.closeAllConnections(), server.close(done))),
  };
}

describe('pages on other origins', () => {
  let allowed;
  let stranger;
  let stack;
  let browser;
  let context;
  let api;

  before(async () => {
    [allowed, stranger] = await Promise.all([startPages(), startPages()]);
    const origins = [allowed.at('localhost'), allowed.at('127.0.0.1')];
    stack = await startStack({ gateway: { GATEWAY_ALLOWED_ORIGINS: origins.join(',') } });
    api = `http://localhost:${new URL(stack.origin).port}/v1`;
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  });
  after(async () => {
    await browser?.close();
    await stack?.stop();
    await Promise.all([allowed?.stop(), stranger?.stop()]);
  });
  beforeEach(async () => {
    await context?.close();
    stack.tap.clear();
    context = await browser.newContext();
    // As the app on http://localhost sets it: for that host alone, and Lax.
    const cookies = await v5({ sub: 'usr_ada', tier: 'pro', sid: 'browser-1' });
    await context.addCookies(
      cookies.map(({ name, value }) => ({ name, value, domain: 'localhost', path: '/', httpOnly: true, sameSite: 'Lax' })),
    );
  });

  /** A page on `origin`, ready to call. */
  async function open(origin) {
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    await page.goto(origin);
    await page.waitForFunction(() => window.connect);
    return page;
  }

  /** The access log's lines with this code. */
  const logged = (code) => stack.gateway.output.split('\n').filter((line) => line.includes(`"code":"${code}"`));

  test('an allowed page streams an answer and reads its request id', async () => {
    const preflights = logged('preflight').length;
    const page = await open(allowed.at('localhost'));
    const found = await page.evaluate(async (base) => {
      const { data: stream, response, request_id } = await window.connect(base).chat.completions
        .create({ model: 'emulator', stream: true, messages: [{ role: 'user', content: 'Tell me a story' }] })
        .withResponse();
      const pieces = [];
      for await (const chunk of stream) pieces.push(chunk.choices[0]?.delta?.content ?? '');
      const names = ['x-request-id', 'x-gateway-request-id', 'x-trace-id', 'set-cookie'];
      return { pieces, request_id, headers: Object.fromEntries(names.map((name) => [name, response.headers.get(name)])) };
    }, api);
    assert.ok(found.pieces.filter(Boolean).length > 3, `${found.pieces.length} pieces`);
    assert.ok(found.request_id && found.headers['x-request-id'] === found.request_id);
    assert.match(found.headers['x-gateway-request-id'], /^gwr_/);
    assert.ok(found.headers['x-trace-id']);
    assert.equal(found.headers['set-cookie'], null);
    assert.equal(stack.tap.calls.length, 1);
    const [call] = stack.tap.calls;
    assert.equal(call.token.claims.uid, 'usr_ada');
    assert.equal(call.header('origin'), undefined);
    await until('the preflight is logged', () => logged('preflight').length > preflights);
    assert.deepEqual(await stack.emulator.violations(), []);
  });

  test('an allowed page reads errors, the gateway’s and Behest’s', async () => {
    const page = await open(allowed.at('localhost'));
    const ask = (method, path) =>
      page.evaluate(
        ([base, how, where]) => window.connect(base)[how](where).then(() => ({}), (error) => window.failure(error)),
        [api, method, path],
      );
    const wrong = await ask('post', '/models');
    assert.deepEqual([wrong.status, wrong.code, wrong.named], [405, 'method_not_allowed', 'method_not_allowed']);
    assert.match(wrong.requestId, /^gwr_/);
    await stack.emulator.fault({ kind: 'status', code: 429, headers: [['retry-after', '7']] });
    const limited = await ask('get', '/models');
    assert.deepEqual([limited.status, limited.code, limited.retryAfter], [429, 'rate_limited', '7']);
    assert.equal(limited.named, null);
    await context.clearCookies();
    const missing = await ask('get', '/models');
    assert.deepEqual([missing.status, missing.code, missing.named], [401, 'session_missing', 'session_missing']);
    assert.equal(stack.tap.calls.length, 1);
  });

  test('an allowed page on another site is answered, but its browser sends no Lax cookie', async () => {
    const page = await open(allowed.at('127.0.0.1'));
    const error = await page.evaluate(
      (base) => window.connect(base).models.list().then(() => ({}), (error) => window.failure(error)),
      api,
    );
    assert.deepEqual([error.status, error.code], [401, 'session_missing']);
    assert.equal(stack.tap.seen.length, 0);
  });

  test('a page that is not allowed learns nothing and spends nothing', async () => {
    const refused = logged('cross_origin_refused').length;
    for (const host of ['localhost', '127.0.0.1']) {
      const page = await open(stranger.at(host));
      const found = await page.evaluate(async (base) => {
        const outcome = (attempt) => attempt.then((answer) => answer.type ?? 'answered', (error) => error.constructor.name);
        const body = JSON.stringify({ model: 'emulator', messages: [{ role: 'user', content: 'spend' }] });
        const post = (init) => fetch(`${base}/chat/completions`, { method: 'POST', body, credentials: 'include', ...init });
        const image = new Promise((done) => {
          const made = new Image();
          made.onload = () => done('loaded');
          made.onerror = () => done('failed');
          made.src = `${base}/models`;
        });
        const socket = new Promise((done) => {
          const made = new WebSocket(`${base.replace('http', 'ws')}/models`);
          made.onopen = () => done('opened');
          made.onerror = () => done('failed');
        });
        return {
          sdk: await outcome(window.connect(base).models.list().then(() => 'answered', (error) => {
            throw error instanceof window.sdk.APIConnectionError && error.status === undefined ? new TypeError() : new Error(String(error.status));
          })),
          get: await outcome(fetch(`${base}/models`, { credentials: 'include' })),
          // What needs no preflight: a form can send these.
          plain: await outcome(post({ headers: { 'content-type': 'text/plain' } })),
          blind: await outcome(post({ mode: 'no-cors', headers: { 'content-type': 'text/plain' } })),
          blindGet: await outcome(fetch(`${base}/models`, { mode: 'no-cors', credentials: 'include' })),
          beacon: navigator.sendBeacon(`${base}/chat/completions`, body),
          image: await image,
          socket: await socket,
        };
      }, api);
      assert.deepEqual(found, {
        sdk: 'TypeError', get: 'TypeError', plain: 'TypeError', blind: 'opaque', blindGet: 'opaque',
        beacon: true, image: 'failed', socket: 'failed',
      }, host);
      // And a real form, which takes the whole window along.
      const answered = page.waitForResponse((response) => response.url().startsWith(api));
      await page.evaluate((base) => {
        document.body.innerHTML = `<form method="post" enctype="text/plain" action="${base}/chat/completions"><input name='{"model":"emulator","x":"' value='"}'></form>`;
        document.forms[0].submit();
      }, api);
      assert.equal((await answered).status(), 403, host);
    }
    // From each host nine requests: the SDK's preflight, and each of the others.
    await until('all are refused', () => logged('cross_origin_refused').length >= refused + 18);
    assert.equal(stack.tap.seen.length, 0, 'a stranger’s page reached Behest');
  });
});
