// Cookies by the real libraries against the running gateway: the request path, not only `inspect`.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { App, header, OLD_SECRET, STRANGER, v4, V4_SECURE, v5, V5_SECURE, v5Gcm } from '../lib/cookies.mjs';
import { inspect, startStack } from '../lib/stack.mjs';

const CLAIMS = { sub: 'usr_ada', tier: 'pro', sid: 'sess_1' };

let stack;
before(async () => {
  stack = await startStack({ gateway: { AUTH_SECRET_1: OLD_SECRET } });
});
after(() => stack?.stop());
beforeEach(() => stack.tap.clear());
afterEach(async () => assert.deepEqual(await stack.emulator.violations(), []));

/** Asks for the models with this Cookie header: status, error code, and the call that Behest saw. */
async function ask(cookie) {
  const answer = await fetch(`${stack.origin}/v1/models`, { headers: { cookie } });
  const body = await answer.json();
  return { status: answer.status, code: body.error?.code, call: stack.tap.calls[0] };
}

async function assertServed(cookies, uid = 'usr_ada') {
  const { status, code, call } = await ask(header(cookies));
  assert.deepEqual([status, code], [200, undefined]);
  assert.equal(call.token.claims.uid, uid);
}

describe('served', () => {
  test('v5 under both names, and under A256GCM', async () => {
    for (const cookies of [await v5(CLAIMS), await v5(CLAIMS, { name: V5_SECURE }), await v5Gcm(CLAIMS)]) {
      stack.tap.clear();
      await assertServed(cookies);
    }
  });

  test('v4 under both names', async () => {
    for (const cookies of [await v4(CLAIMS), await v4(CLAIMS, { name: V4_SECURE })]) {
      stack.tap.clear();
      await assertServed(cookies);
    }
  });

  test('a session in chunks', async () => {
    await assertServed(await v5({ ...CLAIMS, picture: 'p'.repeat(7_000) }));
  });

  test('a session under the secret before', async () => {
    await assertServed(await v5(CLAIMS, { secret: OLD_SECRET }));
  });

  test('a user whose id is not ASCII', async () => {
    await assertServed(await v5({ sub: 'usr_Zoë_日本' }), 'usr_Zoë_日本');
  });
});

describe('refused', () => {
  test('each with its code, and Behest hears nothing', async () => {
    const cases = [
      ['theme=dark', 'session_missing'],
      [header(await v5(CLAIMS, { maxAge: -60 })), 'session_expired'],
      [header(await v4(CLAIMS, { maxAge: -60 })), 'session_expired'],
      [header(await v5(CLAIMS, { secret: STRANGER })), 'session_invalid'],
      [header(await v5({ tier: 'pro' })), 'session_invalid'],
      ['authjs.session-token=garbage', 'session_invalid'],
    ];
    for (const [cookie, code] of cases) {
      const answer = await ask(cookie);
      assert.deepEqual([answer.status, answer.code], [401, code]);
    }
    assert.equal(stack.tap.seen.length, 0);
  });

  test('and nothing secret is in the log', async () => {
    const [{ value }] = await v5(CLAIMS);
    await ask(header(await v5(CLAIMS)));
    await ask(`authjs.session-token=${value.slice(0, -3)}`);
    const token = stack.tap.calls[0].token.raw;
    const mint = stack.tap.mints[0]?.header('authorization') ?? 'behest_sk_live_';
    assert.ok(stack.gateway.output.length > 0);
    for (const secret of [token, token.split('.')[2], mint.replace('Bearer ', ''), OLD_SECRET, STRANGER, value.slice(-60)]) {
      assert.ok(!stack.gateway.output.includes(secret), 'a secret is in the log');
    }
    assert.doesNotMatch(stack.gateway.output, /eyJ[\w-]+\./);
    assert.doesNotMatch(stack.gateway.output, /usr_ada/);
  });
});

describe('a whole session by Auth.js itself', () => {
  test('keeps its session id over a rolled cookie and a changed tier, and changes it at the next sign-in', async () => {
    const app = new App();
    const seen = async () => {
      stack.tap.clear();
      const { status, call } = await ask(app.jar.header);
      assert.equal(status, 200);
      return [call.header('x-session-id'), call.token.claims.tier];
    };
    await app.signIn('grace');
    const [first, free] = await seen();
    assert.equal((await inspect(app.jar.header)).answer.session_id, first, '`inspect` says what is sent');
    await app.roll();
    app.users.grace.tier = 'max';
    await app.roll();
    const [second, max] = await seen();
    assert.deepEqual([second, free, max], [first, 'free', 'max']);
    await app.signOut();
    assert.equal((await ask(app.jar.header)).code, 'session_missing');
    await app.signIn('grace');
    assert.notEqual((await seen())[0], first);
  });
});
