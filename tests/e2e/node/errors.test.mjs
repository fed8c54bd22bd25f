// Every refusal, the gateway's own and Behest's, as the typed error that the OpenAI SDK makes of it.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import OpenAI from 'openai';
import { header, STRANGER, v5 } from '../lib/cookies.mjs';
import { startStack } from '../lib/stack.mjs';

const HELLO = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hello' }] };

let stack;
let ada;
before(async () => {
  stack = await startStack();
  ada = header(await v5({ sub: 'usr_ada', tier: 'pro' }));
});
after(() => stack?.stop());
beforeEach(async () => {
  stack.tap.clear();
  await stack.emulator.reset();
});
afterEach(async () => assert.deepEqual(await stack.emulator.violations(), []));

/** The error that a completion with this cookie ends in. */
async function failure(cookie, options) {
  try {
    await stack.sdk(cookie, options).chat.completions.create(HELLO);
  } catch (error) {
    return error;
  }
  return assert.fail('it was answered');
}

/** Asserts what is common to all the gateway's own refusals. */
function assertOwn(error, type, status, code) {
  assert.ok(error instanceof type, `${error.constructor.name}: ${error.message}`);
  assert.deepEqual([error.status, error.code], [status, code]);
  assert.ok(error.message.length > 10 && typeof error.type === 'string' && error.param === null);
  assert.equal(error.headers.get('x-gateway-error'), code);
  assert.ok(error.headers.get('x-gateway-request-id'));
  assert.deepEqual(error.headers.getSetCookie(), []);
  assert.equal(error.headers.get('location'), null);
  assert.equal(error.headers.get('www-authenticate'), null);
}

describe('the gateway’s own refusals', () => {
  test('no cookie is an AuthenticationError, session_missing, and Behest hears nothing', async () => {
    assertOwn(await failure(undefined), OpenAI.AuthenticationError, 401, 'session_missing');
    assert.equal(stack.tap.seen.length, 0);
  });

  test('an expired session is session_expired', async () => {
    const old = header(await v5({ sub: 'usr_ada' }, { maxAge: -60 }));
    assertOwn(await failure(old), OpenAI.AuthenticationError, 401, 'session_expired');
  });

  test('a session of another secret is session_invalid, and the body does not say why', async () => {
    const forged = header(await v5({ sub: 'usr_ada' }, { secret: STRANGER }));
    const error = await failure(forged);
    assertOwn(error, OpenAI.AuthenticationError, 401, 'session_invalid');
    assert.doesNotMatch(JSON.stringify(error.error), /secret|decrypt|salt|kid/i);
    assert.equal(stack.tap.seen.length, 0);
  });

  test('a refused session is not worth a retry, and the SDK makes none', async () => {
    const error = await failure(undefined, { client: { maxRetries: 2 } });
    assert.equal(error.headers.get('x-should-retry'), 'false');
  });

  test('a request from another site is a PermissionDeniedError', async () => {
    const error = await failure(ada, { headers: { Origin: 'https://evil.example' } });
    assertOwn(error, OpenAI.PermissionDeniedError, 403, 'cross_origin_refused');
    assert.equal(stack.tap.seen.length, 0);
  });

  test('an unknown path and a method that is not offered', async () => {
    const unknown = await stack.sdk(ada).get('/no/such/path').catch((error) => error);
    assertOwn(unknown, OpenAI.NotFoundError, 404, 'route_unknown');
    const mint = await stack.sdk(ada).post('/auth/mint', { body: { user_id: 'usr_grace' } }).catch((error) => error);
    assertOwn(mint, OpenAI.NotFoundError, 404, 'route_unknown');
    const method = await stack.sdk(ada).delete('/models').catch((error) => error);
    assertOwn(method, OpenAI.APIError, 405, 'method_not_allowed');
    assert.equal(stack.tap.seen.length, 0);
  });
});

describe('Behest’s refusals pass through', () => {
  const cases = [
    [400, OpenAI.BadRequestError, 'validation_error'],
    [402, OpenAI.APIError, 'quota_exceeded'],
    [403, OpenAI.PermissionDeniedError, 'forbidden'],
    [404, OpenAI.NotFoundError, undefined],
    [422, OpenAI.UnprocessableEntityError, 'validation_error'],
    [429, OpenAI.RateLimitError, 'rate_limited'],
    [500, OpenAI.InternalServerError, 'server_error'],
    [503, OpenAI.InternalServerError, 'server_error'],
  ];
  for (const [status, type, code] of cases) {
    test(`${status} is a ${type.name}`, async () => {
      const headers = status === 429 ? [['retry-after', '7']] : [];
      await stack.emulator.fault({ kind: 'status', code: status, headers });
      const error = await failure(ada);
      assert.ok(error instanceof type, error.constructor.name);
      assert.equal(error.status, status);
      if (code) assert.equal(error.code, code);
      assert.equal(error.headers.get('x-gateway-error'), null, 'it is not the gateway’s own');
      if (status === 429) assert.equal(error.headers.get('retry-after'), '7');
      assert.equal(stack.tap.calls.length, 1, 'it was asked once');
    });
  }

  test('an error in the body that Behest itself wrote arrives with its message', async () => {
    const body = JSON.stringify({ error: { code: 'validation_error', message: 'model is required', details: { field: 'model' } } });
    await stack.emulator.fault({ kind: 'status', code: 400, body });
    const error = await failure(ada);
    assert.match(error.message, /model is required/);
    assert.deepEqual(error.error.details, { field: 'model' });
  });
});

describe('what the operator got wrong is not the user’s 401', () => {
  test('a mint that refuses the key is 502, with the gateway’s own words', async () => {
    const cookie = header(await v5({ sub: 'usr_refused', tier: 'pro' }));
    await stack.emulator.fault({ kind: 'status', code: 401 }, 'mint');
    const error = await failure(cookie);
    assertOwn(error, OpenAI.InternalServerError, 502, 'mint_refused');
    assert.doesNotMatch(JSON.stringify(error.error), /behest_sk_/);
  });

  test('a token that stays refused is 502, and minted anew only once', async () => {
    const cookie = header(await v5({ sub: 'usr_rejected', tier: 'pro' }));
    await stack.sdk(cookie).models.list();
    await stack.emulator.fault({ kind: 'reject_token' }, 'data', null);
    assertOwn(await failure(cookie), OpenAI.InternalServerError, 502, 'token_rejected');
    assert.ok(stack.tap.mints.length <= 2);
  });

  test('a mint that is down is 503, to be retried, and the SDK’s own retry succeeds', async () => {
    const cookie = header(await v5({ sub: 'usr_patient', tier: 'pro' }));
    await stack.emulator.fault({ kind: 'status', code: 503 }, 'mint');
    const error = await failure(cookie);
    assertOwn(error, OpenAI.InternalServerError, 503, 'mint_unavailable');
    assert.match(error.headers.get('retry-after'), /^\d+$/);
    const client = stack.sdk(cookie, { client: { maxRetries: 3 } });
    assert.ok((await client.chat.completions.create(HELLO)).id);
  });
});
