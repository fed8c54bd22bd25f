// The real OpenAI SDK through the gateway: what a page's code sees, and what Behest sees.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import OpenAI from 'openai';
import { header, v5 } from '../lib/cookies.mjs';
import { until } from '../lib/programs.mjs';
import { assertSignedBy } from '../lib/tokens.mjs';
import { KEY, startStack } from '../lib/stack.mjs';

const ADA = { sub: 'usr_ada', tier: 'pro', sid: 'sess_ada' };
const HELLO = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hello, who are you?' }] };
const cookieOf = async (claims, options) => header(await v5(claims, options));

let stack;
let ada;
before(async () => {
  stack = await startStack();
  ada = await cookieOf(ADA);
});
after(() => stack?.stop());
beforeEach(async () => {
  stack.tap.clear();
  await stack.emulator.reset();
});
afterEach(async () => assert.deepEqual(await stack.emulator.violations(), []));

/** The one call that Behest saw since the test began. */
function onlyCall() {
  assert.equal(stack.tap.calls.length, 1, 'exactly one call reached Behest');
  return stack.tap.calls[0];
}

describe('answers', () => {
  test('a plain completion', async () => {
    const completion = await stack.sdk(ada).chat.completions.create(HELLO);
    assert.equal(completion.object, 'chat.completion');
    assert.equal(completion.choices[0].message.role, 'assistant');
    assert.ok(completion.choices[0].message.content.length > 0);
    assert.ok(completion.usage.total_tokens > 0);
    assert.deepEqual(JSON.parse(onlyCall().body), HELLO);
  });

  test('a streamed completion, with its usage in the last chunk', async () => {
    const stream = await stack.sdk(ada).chat.completions.create({
      ...HELLO, stream: true, stream_options: { include_usage: true },
    });
    let text = '';
    let usage;
    let chunks = 0;
    for await (const chunk of stream) {
      chunks++;
      text += chunk.choices[0]?.delta?.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.ok(chunks > 2 && text.length > 0);
    assert.ok(usage.total_tokens > 0);
  });

  test('the SDK’s own streaming helper ends with the whole message', async () => {
    const runner = stack.sdk(ada).chat.completions.stream(HELLO);
    const deltas = [];
    runner.on('content', (delta) => deltas.push(delta));
    const final = await runner.finalChatCompletion();
    assert.ok(deltas.length > 1);
    assert.equal(final.choices[0].message.content, deltas.join(''));
  });

  test('models and embeddings', async () => {
    const client = stack.sdk(ada);
    const { data: models } = await client.models.list();
    assert.ok(models.length > 0 && models.every(({ id }) => typeof id === 'string'));
    const answer = await client.embeddings.create({ model: 'text-embedding-3-small', input: 'Hello', encoding_format: 'float' });
    assert.ok(answer.data[0].embedding.every((n) => typeof n === 'number'));
  });

  test('a stream is marked as one that nobody may buffer, and an answer as one that nobody may keep', async () => {
    const client = stack.sdk(ada);
    const { response: plain } = await client.chat.completions.create(HELLO).withResponse();
    assert.equal(plain.headers.get('cache-control'), 'no-store');
    const { data, response } = await client.chat.completions.create({ ...HELLO, stream: true }).withResponse();
    for await (const _ of data);
    assert.match(response.headers.get('content-type'), /^text\/event-stream/);
    assert.equal(response.headers.get('cache-control'), 'no-store, no-transform');
    assert.equal(response.headers.get('x-accel-buffering'), 'no');
    for (const answer of [plain, response]) {
      assert.deepEqual(answer.headers.getSetCookie(), []);
      assert.ok(answer.headers.get('x-gateway-request-id'));
    }
  });
});

describe('what Behest sees', () => {
  test('a token of its own making, for this user, and the session id that the token names', async () => {
    await stack.sdk(ada).chat.completions.create(HELLO);
    const call = onlyCall();
    const { claims } = call.token;
    assertSignedBy(call.token.raw, await stack.emulator.jwks());
    assert.deepEqual([claims.uid, claims.tier, claims.role], ['usr_ada', 'pro', 'user']);
    assert.equal(call.header('x-session-id'), claims.sid);
    assert.match(claims.sid, /^gw_[\w-]{22}$/);
    assert.equal(call.header('host'), new URL(stack.tap.origin).host);
  });

  test('no cookie and nothing that a browser may not say', async () => {
    const forged = {
      Authorization: 'Bearer forged', 'X-Session-Id': 'sess_of_grace', 'X-Tier': 'max', 'X-Role': 'admin',
      'X-Tenant-Id': 'tenant_x', 'X-Project-Id': 'project_x', 'X-End-User-Id': 'usr_grace',
      'X-Admin-Secret': 'letmein', X_Tier: 'max', 'X-Forwarded-Host': 'evil.example',
      'X-Thread-Id': 'thread_1', 'X-Custom': 'unknown',
    };
    await stack.sdk(ada, { headers: forged }).chat.completions.create(HELLO);
    const call = onlyCall();
    const names = call.headers.map(([name]) => name.toLowerCase());
    const refused = ['cookie', 'x-tier', 'x_tier', 'x-role', 'x-tenant-id', 'x-project-id', 'x-end-user-id',
      'x-admin-secret', 'x-forwarded-host', 'x-custom'];
    for (const name of refused) assert.ok(!names.includes(name), `${name} reached Behest`);
    const raw = JSON.stringify(call.headers);
    for (const value of ['forged', 'sess_of_grace', 'usr_grace', 'letmein', 'authjs']) {
      assert.ok(!raw.includes(value), `${value} reached Behest`);
    }
    assert.deepEqual([call.token.claims.uid, call.token.claims.tier], ['usr_ada', 'pro']);
    assert.equal(call.header('x-thread-id'), 'thread_1');
    assert.equal(call.header('x-session-id'), call.token.claims.sid);
  });

  test('the SDK’s own headers, and a request id that the caller gets back', async () => {
    const { response } = await stack.sdk(ada, { headers: { 'X-Request-Id': 'req_e2e_1' } }).models.list().withResponse();
    const call = onlyCall();
    assert.equal(call.header('x-stainless-lang'), 'js');
    assert.equal(call.header('x-request-id'), 'req_e2e_1');
    assert.equal(response.headers.get('x-gateway-request-id'), 'req_e2e_1');
    assert.ok(response.headers.get('x-trace-id'));
  });

  test('a thread that the page names, kept for its user alone', async () => {
    const inThread = { headers: { 'X-Thread-Id': 'thread_holiday' } };
    await stack.sdk(ada).chat.completions.create(HELLO, inThread);
    const threads = await stack.sdk(ada).get('/threads');
    assert.match(JSON.stringify(threads), /thread_holiday/);
    const grace = await cookieOf({ sub: 'usr_grace', tier: 'free' });
    assert.doesNotMatch(JSON.stringify(await stack.sdk(grace).get('/threads')), /thread_holiday/);
  });

  test('one mint for many calls of one user, at once or in turn', async () => {
    const cookie = await cookieOf({ ...ADA, sub: 'usr_many' });
    const client = stack.sdk(cookie);
    await Promise.all(Array.from({ length: 8 }, () => client.models.list()));
    for (let i = 0; i < 3; i++) await client.models.list();
    assert.equal(stack.tap.calls.length, 11);
    assert.equal(stack.tap.mints.length, 1);
    const [mint] = stack.tap.mints;
    assert.equal(mint.header('authorization'), `Bearer ${KEY}`);
    const asked = JSON.parse(mint.body);
    assert.deepEqual([asked.user_id, asked.tier, 'role' in asked], ['usr_many', 'pro', false]);
    assert.equal(asked.session_id, stack.tap.calls[0].header('x-session-id'));
  });
});

describe('the session id', () => {
  const sessionIdOf = async (claims) => {
    stack.tap.clear();
    await stack.sdk(await cookieOf(claims)).models.list();
    return onlyCall().header('x-session-id');
  };

  test('is the same for one browser session, also after a restart, and another’s is another', async () => {
    const first = await sessionIdOf(ADA);
    assert.equal(await sessionIdOf(ADA), first, 'a renewed cookie');
    await stack.restart();
    assert.equal(await sessionIdOf(ADA), first, 'a restarted gateway');
    assert.notEqual(await sessionIdOf({ ...ADA, sid: 'sess_other' }), first, 'another session of the user');
    assert.notEqual(await sessionIdOf({ ...ADA, sub: 'usr_grace' }), first, 'another user');
  });

  test('without a session claim is one for each user', async () => {
    const [ada1, ada2, grace] = [await sessionIdOf({ sub: 'usr_ada' }), await sessionIdOf({ sub: 'usr_ada' }), await sessionIdOf({ sub: 'usr_grace' })];
    assert.equal(ada1, ada2);
    assert.notEqual(ada1, grace);
  });
});

describe('the tier', () => {
  test('that the session holds counts from the very next request, with its JSON type', async () => {
    for (const tier of ['free', 'pro', 2, 'max']) {
      stack.tap.clear();
      await stack.sdk(await cookieOf({ ...ADA, sub: 'usr_mover', tier })).models.list();
      assert.strictEqual(onlyCall().token.claims.tier, tier);
    }
  });
});

describe('heartbeats', () => {
  test('a stream full of comments reads as one without', async () => {
    const slow = await startStack({ gateway: { GATEWAY_SERVER__HEARTBEAT: '5ms' } });
    try {
      const request = { ...HELLO, model: 'emulator-slow', max_tokens: 8, stream: true };
      const read = async (sdk) => {
        let text = '';
        let reason;
        for await (const { choices: [choice] } of await sdk.chat.completions.create(request)) {
          text += choice?.delta?.content ?? '';
          reason = choice?.finish_reason ?? reason;
        }
        return { text, reason };
      };
      const expected = await read(stack.sdk(ada));
      assert.ok(expected.text.length > 0);
      assert.deepEqual(await read(slow.sdk(ada)), expected);
      const runner = slow.sdk(ada).chat.completions.stream(request);
      assert.equal(await runner.finalContent(), expected.text);
      const raw = await slow.sdk(ada).chat.completions.create(request).asResponse();
      const wire = await raw.text();
      assert.ok(wire.split(': heartbeat\n\n').length > 8, 'the stream that was read had no heartbeats');
    } finally {
      await slow.stop();
    }
  });
});

describe('leaving', () => {
  /**
   * Aborts a stream after its third chunk; milliseconds until the gateway closed its side upstream.
   * `silent`: Behest says nothing more from that chunk on.
   */
  async function abortedAfter(silent) {
    stack.tap.clear();
    if (silent) await stack.emulator.fault({ kind: 'stall_after', frames: 3 });
    const stream = await stack.sdk(ada).chat.completions.create({ ...HELLO, stream: true });
    let chunks = 0;
    let left;
    for await (const _ of stream) {
      if (++chunks === 3) {
        left = performance.now();
        stream.controller.abort();
      }
    }
    assert.equal(chunks, 3, 'nothing came after the abort');
    const { connection } = onlyCall();
    await until('the upstream connection closes', () => connection.closedAt, 2_000);
    return connection.closedAt - left;
  }

  for (const silent of [false, true]) {
    test(`mid-stream${silent ? ', while Behest is silent,' : ''} closes the upstream connection within 200 ms`, async (t) => {
      const times = [];
      for (let i = 0; i < 5; i++) times.push(await abortedAfter(silent));
      times.sort((a, b) => a - b);
      t.diagnostic(`closed after ${times.map((ms) => ms.toFixed(1)).join(', ')} ms`);
      // The median: one descheduled moment of the machine is not the gateway's doing.
      assert.ok(times[2] < 200, `closed after ${times.map(Math.round).join(', ')} ms`);
      await until('the emulator saw all five leave', async () => (await stack.emulator.disconnects()) === 5, 2_000);
    });
  }

  test('before the first byte closes it too', async () => {
    await stack.emulator.fault({ kind: 'stall_before_head' });
    const abort = new AbortController();
    const asked = stack.sdk(ada).chat.completions.create(HELLO, { signal: abort.signal });
    const refused = assert.rejects(asked, OpenAI.APIUserAbortError);
    await until('the call reaches Behest', () => stack.tap.calls.length === 1);
    const left = performance.now();
    abort.abort();
    await refused;
    const { connection } = onlyCall();
    await until('the upstream connection closes', () => connection.closedAt, 2_000);
    assert.ok(connection.closedAt - left < 1_000, `closed after ${connection.closedAt - left} ms`);
  });
});

describe('a broken upstream', () => {
  test('mid-stream is a broken stream for the SDK, never a clean end', async () => {
    await stack.emulator.fault({ kind: 'cut_after', frames: 2 });
    const stream = await stack.sdk(ada).chat.completions.create({ ...HELLO, stream: true });
    await assert.rejects(async () => {
      for await (const _ of stream);
    });
    assert.ok((await stack.sdk(ada).chat.completions.create(HELLO)).id, 'the next request is served');
  });

  test('that refuses a token once is not noticed', async () => {
    const cookie = await cookieOf({ ...ADA, sub: 'usr_renewed' });
    await stack.sdk(cookie).models.list();
    await stack.emulator.fault({ kind: 'reject_token' });
    assert.ok((await stack.sdk(cookie).chat.completions.create(HELLO)).id);
    // Two tokens of one second are the same bytes (RS256 has no randomness): the mints are counted.
    assert.equal(stack.tap.mints.length, 2);
    const [, refused, replayed, ...more] = stack.tap.calls;
    assert.equal(replayed.body, refused.body);
    assert.equal(more.length, 0);
  });
});
