// Several people at the example app, a provider of identities, and pages of strangers.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startExample, TOKEN_PATH } from '../lib/example.mjs';
import { until } from '../lib/programs.mjs';
import { assertNoCredentials, startChromium, Visitor } from '../lib/visitor.mjs';

/** A site with an empty page; `at(host)` is its origin under that name. */
async function startStranger() {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>A stranger’s page</title>');
  });
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
  return {
    at: (host) => `http://${host}:${server.address().port}`,
    stop: () => new Promise((done) => (server.closeAllConnections(), server.close(done))),
  };
}

/** Asks for a WebSocket as a page on `origin` would: the status, and the gateway's code word. */
function upgradeFrom(origin, to, headers = {}) {
  const { port, host } = new URL(to);
  return new Promise((done, failed) => {
    const asked = request({
      port, host: '127.0.0.1', path: '/_next/webpack-hmr',
      headers: {
        host, origin, connection: 'Upgrade', upgrade: 'websocket',
        'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', ...headers,
      },
    });
    asked.on('response', (answer) => (answer.resume(), done([answer.statusCode, answer.headers['x-gateway-error']])));
    asked.on('upgrade', (answer, socket) => (socket.destroy(), done([answer.statusCode, undefined])));
    // A built Next.js app leaves what it has no use for without an answer.
    asked.setTimeout(1_500, () => (asked.destroy(), done([0, undefined])));
    asked.on('error', failed).end();
  });
}

describe('people at the example app', () => {
  let example;
  let chromium;
  let stranger;
  const kept = [];

  before(async () => {
    [example, stranger] = await Promise.all([startExample(), startStranger()]);
    chromium = await startChromium('example-users');
  });
  after(async () => {
    await chromium?.close();
    await example?.stop();
    await stranger?.stop();
  });
  beforeEach(() => example.tap.clear());

  const arrive = async () => Object.assign(await Visitor.arrive(chromium.browser, example.origin), { kept });
  const chats = () => example.tap.calls.filter(({ path }) => path === '/v1/chat/completions');
  const logged = (code) => example.gateway.output.split('\n').filter((line) => line.includes(`"code":"${code}"`)).length;

  async function enter(email) {
    const visitor = await arrive();
    await visitor.signIn(email);
    await visitor.inside();
    return visitor;
  }

  test('two people side by side each are themselves, and see their own threads only', async () => {
    const [ada, grace] = [await enter('ada@example.com'), await enter('grace@example.com')];
    for (const round of [1, 2]) {
      await Promise.all([ada.ask(`Ada’s question ${round}`), grace.ask(`Grace’s question ${round}`)]);
    }
    assert.equal(chats().length, 4);
    for (const { body, token } of chats()) {
      const who = JSON.parse(body).messages.at(-1).content.startsWith('Ada') ? 'ada' : 'grace';
      assert.equal(token.claims.uid, `credentials:${who}`);
    }
    assert.equal(new Set(chats().map((chat) => chat.header('x-session-id'))).size, 2);
    for (const [visitor, mine, theirs] of [[ada, 'Ada', 'Grace'], [grace, 'Grace', 'Ada']]) {
      await visitor.page.reload();
      await visitor.inside();
      assert.equal((await visitor.threads()).length, 1);
      await visitor.page.click('#threads .thread');
      await visitor.page.waitForSelector(`.message[data-role="user"]:has-text("${mine}’s question 2")`);
      assert.equal(await visitor.page.locator(`text=${theirs}’s question`).count(), 0);
    }
    // Knowing the name of another's thread does not help.
    const [hers] = await ada.threads();
    assert.equal((await grace.call(`/v1/threads/${hers}/messages`))[0], 404);
    await Promise.all([ada.leave(), grace.leave()]);
  });

  test('a user of the provider is the same user after signing out and in again', async () => {
    const mary = await arrive();
    const seen = [];
    for (const round of [1, 2]) {
      await mary.signInElsewhere('Mary Somerville');
      await mary.inside();
      assert.equal(mary.page.url(), `${example.origin}/`, 'back at the public origin');
      assert.equal(await mary.page.innerText('#user-name'), 'Mary Somerville');
      assert.equal((await mary.threads()).length, round - 1, 'the threads are there again');
      await mary.ask(`Round ${round}`);
      seen.push({ ...chats().at(-1).token.claims });
      assert.ok((await mary.session()).httpOnly);
      await mary.look();
      if (round === 1) await mary.signOut();
    }
    assert.deepEqual(seen.map(({ uid }) => uid), ['oidc:emp-1815', 'oidc:emp-1815']);
    assert.notEqual(seen[0].sid, seen[1].sid, 'another sign-in, another memory');
    await mary.leave();
  });

  test('a stranger’s page spends nothing of a user who is signed in', async () => {
    const ada = await enter('ada@example.com');
    example.tap.clear();
    const refused = logged('cross_origin_refused');
    const api = `${example.origin}/v1/chat/completions`;
    const body = JSON.stringify({ model: 'emulator', messages: [{ role: 'user', content: 'spend' }] });
    // Another site; and another port of the same one, to which the browser does send the session.
    for (const host of ['127.0.0.1', 'localhost']) {
      const page = await ada.context.newPage();
      await page.goto(stranger.at(host));
      const found = await page.evaluate(
        async ([to, text, tokens]) => {
          const outcome = (sent) => sent.then((answer) => answer.type, (error) => error.constructor.name);
          const init = { method: 'POST', body: text, credentials: 'include', headers: { 'content-type': 'text/plain' } };
          return {
            readable: await outcome(fetch(to, init)),
            blind: await outcome(fetch(to, { ...init, mode: 'no-cors' })),
            tokens: await outcome(fetch(tokens, { method: 'POST', credentials: 'include' })),
            socket: await new Promise((done) => {
              const made = new WebSocket(`${new URL('/_next/webpack-hmr', to)}`.replace('http', 'ws'));
              made.onopen = () => done('opened');
              made.onerror = () => done('failed');
            }),
          };
        },
        [api, body, `${example.origin}${TOKEN_PATH}`],
      );
      assert.deepEqual(found, { readable: 'TypeError', blind: 'opaque', tokens: 'TypeError', socket: 'failed' }, host);
      const answered = page.waitForResponse((response) => response.url() === api);
      await page.evaluate((to) => {
        document.body.innerHTML = `<form method="post" enctype="text/plain" action="${to}"><input name='{"model":"emulator","x":"' value='"}'></form>`;
        document.forms[0].submit();
      }, api);
      assert.equal((await answered).status(), 403, host);
      await page.waitForURL(api); // Chromium may never close a page that is about to show another
      await page.close();
    }
    await until('all ten are refused', () => logged('cross_origin_refused') >= refused + 10);
    assert.equal(example.tap.seen.length, 0, 'a stranger’s page reached Behest');
    assert.match(await ada.ask('Am I still served?'), /still served/);
    await ada.leave();
  });

  test('a WebSocket for a stranger’s page is refused before the app hears of it', async () => {
    const names = { [stranger.at('127.0.0.1')]: 'cross-site', [stranger.at('localhost')]: 'same-site', null: 'cross-site' };
    for (const [origin, site] of Object.entries(names)) {
      const refusal = await upgradeFrom(origin, example.origin, { 'sec-fetch-site': site });
      assert.deepEqual(refusal, [403, 'cross_origin_refused'], origin);
    }
    // The app's own page is let through, to an app that has no such thing when it is built.
    const [status, code] = await upgradeFrom(example.origin, example.origin, { 'sec-fetch-site': 'same-origin' });
    assert.ok(status !== 403 && code === undefined, `${status} ${code}`);
  });

  test('none of these browsers ever had a token or a key', async () => {
    assert.deepEqual(await example.emulator.violations(), []);
    const log = await chromium.close();
    chromium = undefined;
    const { sent, answered } = assertNoCredentials(log, kept);
    assert.match(sent, /GET \/api\/auth\/callback\/oidc\?code=/);
    for (const name of ['Ada Lovelace', 'Grace Hopper', 'Mary Somerville']) assert.ok(answered.includes(name), name);
  });
});
