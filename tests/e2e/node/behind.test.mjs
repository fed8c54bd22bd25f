// The gateway behind the real nginx, Caddy and HAProxy with the files of deploy/behind, in both shapes,
// over HTTP/1.1 and HTTP/2: frames arrive one by one, Stop reaches Behest, and the client stays known.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { header, v5 } from '../lib/cookies.mjs';
import { openSocket, startEchoApp } from '../lib/echo-app.mjs';
import { checkFront, fileOf, KINDS, SITES, startFront } from '../lib/fronts.mjs';
import { until } from '../lib/programs.mjs';
import { startGateway, startStack } from '../lib/stack.mjs';
import { eventTimes, Visit, visit } from '../lib/visit.mjs';

const [PROXY, CLIENT, SPOOFED] = ['127.0.0.1', '127.0.0.2', '203.0.113.7'];
const SETTINGS = {
  GATEWAY_PUBLIC_ORIGIN: Object.values(SITES).map((site) => `https://${site}`).join(','),
  GATEWAY_SERVER__TRUSTED_PROXIES: `${PROXY}/32`,
};
/** Over which protocols they end an answer that breaks off as if it were whole: Debian 12's do. */
const ENDS_WHOLE = { nginx: [], caddy: ['h1', 'h2'], haproxy: ['h2'] };
const MiB = 1024 * 1024;
/** Every way a browser comes: to both shapes, over both protocols. */
const WAYS = Object.entries(SITES).flatMap(([shape, site]) => ['h1', 'h2'].map((protocol) => ({ shape, site, protocol })));

let stack;
let app;
let cookie;
before(async () => {
  app = await startEchoApp();
  stack = await startStack({ gateway: { ...SETTINGS, GATEWAY_APP_URL: app.origin } });
  cookie = header(await v5({ sub: 'usr_ada', tier: 'pro' }));
});
after(async () => {
  await stack?.stop();
  await app?.stop();
});
beforeEach(async () => {
  stack.tap.clear();
  await stack.emulator.reset();
});
afterEach(async () => {
  await until('Behest is at rest', async () => (await stack.emulator.inFlight()) === 0);
  assert.deepEqual(await stack.emulator.violations(), []);
  assert.ok(stack.tap.seen.every((request) => request.all('cookie').length === 0), 'no cookie reaches Behest');
});

/** A chat request of a signed-in page; `model` sets the emulator's pace, `emulator-slow` is 100 ms an event. */
const chat = (way, { model = 'emulator-slow', stream = true, headers = {}, content = 'Hello', ...more } = {}) => ({
  ...way,
  method: 'POST',
  path: '/v1/chat/completions',
  headers: { origin: `https://${way.site}`, 'sec-fetch-site': 'same-origin', cookie, ...headers },
  body: JSON.stringify({ model, stream, messages: [{ role: 'user', content }] }),
  ...more,
});

/** The gateway’s log line of the request with this id. */
async function logLine(gateway, id) {
  const line = () => gateway.output.split('\n').find((text) => text.includes(id) && text.includes('"client"'));
  return JSON.parse(await until(`the log line of ${id}`, line));
}

for (const kind of KINDS) {
  describe(kind, () => {
    let front;
    before(async () => {
      front = await startFront(kind, { gateway: stack.origin, app: app.origin });
    });
    after(() => front?.stop());

    test('the file is valid as the program itself judges it', async () => {
      await checkFront(kind);
      await assert.rejects(checkFront(kind, (text) => text.replaceAll('timeout', 'timeuot')));
    });

    for (const way of WAYS) {
      const name = `${way.shape}, ${way.protocol}`;

      test(`${name}: frames arrive one by one, as they were sent and uncompressed`, async () => {
        const seen = new Visit(front, chat(way, { headers: { 'accept-encoding': 'gzip, br, zstd' } }));
        try {
          await seen.head;
          assert.equal(seen.status, 200);
          assert.match(seen.headers['content-type'], /^text\/event-stream/);
          assert.equal(seen.headers['content-encoding'], undefined);
          assert.equal(seen.headers['cache-control'], 'no-store, no-transform');
          const enough = 16;
          await until(`${enough} events`, () => seen.events.length >= enough, 15_000);
          assertOneByOne(seen.events.slice(0, enough), eventTimes(stack.tap.calls[0].answered).slice(0, enough));
        } finally {
          seen.leave();
        }
      });

      for (const [moment, fault, events] of [
        ['between frames', undefined, 3],
        ['before the first', { kind: 'stall_before_head' }, 0],
        ['while the model is silent', { kind: 'stall_after', frames: 3 }, 3],
      ]) {
        test(`${name}: Stop ${moment} reaches Behest`, async () => {
          if (fault) await stack.emulator.fault(fault);
          const seen = new Visit(front, chat(way));
          try {
            if (events) await until(`${events} events`, () => seen.events.length >= events, 15_000);
            await until('Behest is asked', () => stack.tap.calls.length > 0);
            assert.equal(await stack.emulator.disconnects(), 0);
            seen.close();
            await until('Behest sees it', () => stack.emulator.disconnects(), 2_000);
          } finally {
            seen.leave();
          }
        });
      }

      // Over each protocol, but not in each shape: it takes its time.
      if ((way.shape === 'whole') === (way.protocol === 'h1')) {
        test(`${name}: a body of 20 MiB passes whole, and one over the limit is the gateway’s own 413`, async () => {
          const request = chat(way, { model: 'emulator-fast', stream: false, content: 'x'.repeat(20 * MiB) });
          const passed = await visit(front, request);
          assert.equal(passed.status, 200, passed.text.slice(0, 500));
          assert.equal(stack.tap.calls[0].body.length, request.body.length);
          const over = await visit(front, chat(way, { content: 'x'.repeat(33 * MiB) }));
          assert.deepEqual([over.status, over.headers['x-gateway-error']], [413, 'body_too_large']);
          assert.equal(stack.tap.calls.length, 1);
        });
      }

      test(`${name}: the gateway’s errors pass unchanged`, async () => {
        const refused = await visit(front, chat(way, { headers: { cookie: 'theme=dark' } }));
        assert.equal(refused.status, 401);
        assert.equal(refused.headers['x-gateway-error'], 'session_missing');
        assert.equal(refused.headers['content-type'], 'application/json');
        const { error } = JSON.parse(refused.text);
        assert.equal(error.request_id, refused.headers['x-gateway-request-id']);
        const direct = await fetch(`${stack.origin}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
        assert.deepEqual({ ...error, request_id: '' }, { ...(await direct.json()).error, request_id: '' });
      });

      test(`${name}: a stream that Behest breaks off says so`, async () => {
        await stack.emulator.fault({ kind: 'cut_after', frames: 3 });
        const broken = await visit(front, chat(way));
        assert.equal(broken.text.match(/^data: /gm).length, 4, broken.text);
        assert.match(broken.text, /^data: \{"error":.*\n\n$/m);
        if (!ENDS_WHOLE[kind].includes(way.protocol)) assert.equal(broken.whole, false);
      });

      test(`${name}: the log has the client's own address, whatever it says of itself`, async () => {
        for (const headers of [{}, { 'x-forwarded-for': SPOOFED, 'x-real-ip': SPOOFED, forwarded: `for=${SPOOFED}` }]) {
          const { headers: answer } = await visit(front, chat(way, { model: 'emulator-fast', headers, from: CLIENT }));
          const line = await logLine(stack.gateway, answer['x-gateway-request-id']);
          assert.equal(line.client, CLIENT);
        }
      });

      test(`${name}: a page of another site is refused, and one of this site is served`, async () => {
        const evil = await visit(front, chat(way, { headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' } }));
        assert.deepEqual([evil.status, evil.headers['x-gateway-error']], [403, 'cross_origin_refused']);
        assert.equal(stack.tap.calls.length, 0);
        const own = await visit(front, chat(way, { model: 'emulator-fast' }));
        assert.deepEqual([own.status, own.whole], [200, true]);
      });

      test(`${name}: a session in many cookies of 4 KB is served`, async () => {
        const chunks = await v5({ sub: 'usr_large', tier: 'pro', groups: 'g'.repeat(16_000) });
        assert.ok(header(chunks).length > 20_000, 'it is large');
        const served = await visit(front, chat(way, { model: 'emulator-fast', headers: { cookie: header(chunks) } }));
        assert.equal(served.status, 200, served.text.slice(0, 500));
        assert.equal(stack.tap.calls[0].token.claims.uid, 'usr_large');
      });
    }

    for (const way of WAYS) {
      test(`${way.shape}, ${way.protocol}: the app has what is not under /v1/, with the client’s address and scheme told`, async () => {
        const spoofed = {
          'x-forwarded-for': SPOOFED,
          'x-real-ip': SPOOFED,
          'x-forwarded-proto': 'http',
          'x-forwarded-host': 'evil.example',
          'x-forwarded-port': '1',
          forwarded: `for=${SPOOFED}`,
        };
        const page = await visit(front, { ...way, path: '/v1x/page?q=%2F', headers: { cookie: 'theme=dark', ...spoofed }, from: CLIENT });
        assert.equal(page.status, 200, page.text);
        assert.equal(page.headers['set-cookie'].length, 6, 'the app’s cookies pass, large ones too');
        const { url, headers } = JSON.parse(page.text);
        assert.equal(url, '/v1x/page?q=%2F');
        assert.deepEqual([headers.host, headers.cookie], [way.site, 'theme=dark']);
        // The gateway, where it stands between, appends the proxy that it heard it from.
        const told = way.shape === 'whole' ? `${CLIENT}, ${PROXY}` : CLIENT;
        assert.deepEqual([headers['x-forwarded-for'], headers['x-real-ip']], [told, CLIENT]);
        assert.deepEqual([headers['x-forwarded-proto'], headers['x-forwarded-host']], ['https', way.site]);
        assert.ok(!/203\.0\.113|evil/.test(JSON.stringify(headers)), JSON.stringify(headers));
      });
    }

    for (const protocol of ['h1', 'h2']) {
      test(`whole, ${protocol}: what the app streams is not held back either`, async () => {
        const page = await visit(front, { site: SITES.whole, protocol, path: '/stream' });
        assert.equal(page.whole, true);
        assertOneByOne(page.events, page.text.trim().split('\n\n').map(Number));
      });
    }

    for (const [shape, site] of Object.entries(SITES)) {
      test(`${shape}: a WebSocket to the app echoes`, async () => {
        const socket = await openSocket(front, { site });
        try {
          assert.equal(socket.status, 101);
          assert.equal(await socket.say('one'), 'echo: one');
          assert.equal(await socket.say('two'), 'echo: two');
        } finally {
          socket.close?.();
        }
      });
    }

    test('whole: a WebSocket of another site’s page is refused by the gateway', async () => {
      const refused = await openSocket(front, { site: SITES.whole, origin: 'https://evil.example' });
      assert.deepEqual([refused.status, refused.headers['x-gateway-error']], [403, 'cross_origin_refused']);
    });

    test('a gateway that does not trust the proxy logs the proxy, so trusted_proxies is what does it', async () => {
      const { program, origin } = await startGateway(stack.tap.origin, { ...SETTINGS, GATEWAY_SERVER__TRUSTED_PROXIES: '' });
      const other = await startFront(kind, { gateway: origin, app: app.origin });
      try {
        const { headers } = await visit(other, chat(WAYS[0], { model: 'emulator-fast', from: CLIENT }));
        assert.equal((await logLine(program, headers['x-gateway-request-id'])).client, PROXY);
      } finally {
        await other.stop();
        await program.stop();
      }
    });
  });
}

test('each file leaves the gateway its own times', async () => {
  const defaults = await readFile(new URL('../../../config/reference.toml', import.meta.url), 'utf8');
  const [idle] = /^idle_timeout = "1m"/m.exec(defaults) ?? []; // of [server], the first of that name
  const [firstByte] = /^first_byte_timeout = "10m"/m.exec(defaults) ?? [];
  assert.ok(idle && firstByte, 'the defaults that the files were written for');
  const kept = { nginx: /\bkeepalive_timeout (\d+)s;/, caddy: /\bkeepalive (\d+)s\b/ };
  const waited = { nginx: /\bproxy_read_timeout (\d+)s;/g, caddy: /\bresponse_header_timeout (\d+)s\b/g, haproxy: /\btimeout server (\d+)s\b/g };
  for (const kind of KINDS) {
    const text = await readFile(fileOf(kind), 'utf8');
    if (kept[kind]) assert.ok(Number(kept[kind].exec(text)[1]) < 60, `${kind}: idle connections`);
    const times = [...text.matchAll(waited[kind])].map(([, seconds]) => Number(seconds));
    assert.ok(times.length > 0 && times.every((seconds) => seconds > 600), `${kind}: the first byte`);
  }
});

describe('while the model is silent for longer than the proxy bears', () => {
  const [SILENCE, BORNE, HEARTBEAT] = ['4s', '1500ms', '300ms'];
  let silent;
  let without;
  before(async () => {
    const emulator = { frameDelay: SILENCE };
    silent = await startStack({ gateway: { ...SETTINGS, GATEWAY_SERVER__HEARTBEAT: HEARTBEAT }, emulator });
    without = await startGateway(silent.tap.origin, { ...SETTINGS, GATEWAY_SERVER__HEARTBEAT: '0s' });
  });
  after(async () => {
    await without?.program.stop();
    await silent?.stop();
  });

  /** The file with that time; Caddy's has none, since Caddy bears any silence unless it is told. */
  const impatient = (text) => {
    assert.ok(text.includes('610s'));
    return text.replace('response_header_timeout 610s', `$& \n\t\t\tread_timeout ${BORNE} `).replaceAll('610s', BORNE);
  };
  const said = (seen) => seen.text.match(/^data:/gm)?.length ?? 0;

  /** Streams from `gateway` through an impatient proxy over both protocols, until `judge` is done with each. */
  async function listen(kind, gateway, judge) {
    const front = await startFront(kind, { gateway, app: app.origin, edit: impatient });
    try {
      await Promise.all(
        WAYS.filter(({ shape }) => shape === 'whole').map(async (way) => {
          const seen = new Visit(front, chat(way, { model: 'gpt-4o-mini' }));
          try {
            await seen.head;
            await judge(seen, way.protocol);
          } finally {
            seen.leave();
          }
        }),
      );
    } finally {
      await front.stop();
    }
  }

  for (const kind of KINDS) {
    test(`${kind}: the gateway’s heartbeat keeps the stream`, () =>
      listen(kind, silent.origin, async (seen) => {
        await until('the model goes on', () => said(seen) >= 2 || seen.endedAt, 15_000);
        assert.ok(said(seen) >= 2, `cut: ${seen.text}`);
        assert.match(seen.text, /^:/m, 'there were comments meanwhile');
      }));

    test(`${kind}: without it, the stream is cut`, () =>
      listen(kind, without.origin, async (seen, protocol) => {
        await seen.end;
        assert.equal(said(seen), 1, `it went on: ${seen.text}`);
        if (!ENDS_WHOLE[kind].includes(protocol)) assert.equal(seen.whole, false);
      }));
  }
});

/**
 * Asserts that events that left at `sent` were not held on their way to `arrived`: as spread as they
 * were sent, hardly two at a time, and none late. Generous, for a machine that does other things too.
 */
function assertOneByOne(arrived, sent) {
  assert.equal(arrived.length, sent.length);
  const span = (times) => times.at(-1) - times[0];
  assert.ok(span(sent) > 1_000, `they were paced: over ${Math.round(span(sent))} ms`);
  assert.ok(span(arrived) >= 0.8 * span(sent), `over ${Math.round(span(arrived))} ms of ${Math.round(span(sent))}`);
  const distinct = (times) => new Set(times).size;
  const pieces = distinct(arrived);
  assert.ok(pieces >= distinct(sent) - 3, `in ${pieces} pieces, sent in ${distinct(sent)}`);
  const late = Math.max(...arrived.map((time, i) => time - sent[i]));
  assert.ok(late < 1_000, `one was ${Math.round(late)} ms late`);
}
