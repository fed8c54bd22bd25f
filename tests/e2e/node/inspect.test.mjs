// `behest-gateway inspect` against cookies made by the real libraries, with those libraries'
// own reading of the same cookie as the judge.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  App, appReads, header, OLD_SECRET, SECRET, STRANGER, v4, V4, V4_SECURE, v5, V5, V5_SECURE, v5Gcm,
} from '../lib/cookies.mjs';
import { appEnv, inspect, withDirectory } from '../lib/stack.mjs';

const seconds = () => Math.floor(Date.now() / 1000);
const CLAIMS = { sub: 'usr_ada', tier: 'pro', sid: 'sess_1', name: 'Ada', email: 'ada@example.test' };

/** The gateway must read from these cookies exactly what the app itself reads. */
async function assertSameAsApp(cookies, name, secret = SECRET) {
  const line = header(cookies);
  const claims = await appReads(line, { name, secret });
  assert.ok(claims, 'the library itself reads the cookie');
  const { code, answer } = await inspect(line);
  assert.equal(code, 0, JSON.stringify(answer));
  assert.deepEqual(
    { ok: answer.ok, user_id: answer.user_id, tier: answer.tier, expires_at: answer.expires_at },
    { ok: true, user_id: claims.sub, tier: claims.tier ?? null, expires_at: claims.exp },
  );
  assert.match(answer.session_id, /^gw_[\w-]{22}$/, 'derived, not the app’s own');
  return answer;
}

/** The gateway must refuse, with this code, what the app itself refuses. */
async function assertRefused(line, code, { name = V5, ...options } = {}) {
  assert.equal(await appReads(line, { name }), null, 'the library itself refuses the cookie');
  const result = await inspect(line, options);
  assert.deepEqual([result.code, result.answer.ok, result.answer.code], [1, false, code]);
  assert.ok(result.answer.reason.length > 10, 'a reason that a developer can act on');
  return result;
}

describe('Auth.js v5 cookies by @auth/core', { concurrency: 4 }, () => {
  for (const name of [V5, V5_SECURE]) {
    test(`${name} reads as in the app`, async () => {
      const answer = await assertSameAsApp(await v5(CLAIMS, { name }), name);
      assert.equal(answer.cookie, name);
      assert.match(answer.provider, /authjs/);
    });
  }

  test('a token under A256GCM reads as in the app', async () => {
    await assertSameAsApp(await v5Gcm(CLAIMS), V5);
  });

  test('a large session in chunks reads as in the app, in any order', async () => {
    const cookies = await v5({ ...CLAIMS, picture: 'p'.repeat(7_000) });
    assert.equal(cookies.length, 3);
    await assertSameAsApp(cookies, V5);
    await assertSameAsApp([cookies[2], cookies[0], cookies[1]], V5);
  });

  test('a large session that lacks a chunk is invalid', async () => {
    const cookies = await v5({ ...CLAIMS, picture: 'p'.repeat(7_000) });
    await assertRefused(header([cookies[0], cookies[2]]), 'session_invalid');
  });

  test('claims keep their JSON types and their Unicode', async () => {
    assert.strictEqual((await assertSameAsApp(await v5({ ...CLAIMS, tier: 2 }), V5)).tier, 2);
    await assertSameAsApp(await v5({ sub: 'usr_Zoë_日本', tier: 'größer 🚀' }), V5);
    const { sub } = CLAIMS;
    const bare = await assertSameAsApp(await v5({ sub }), V5);
    assert.equal(bare.tier, null);
  });

  test('the session id belongs to the user and the session claim, not to the cookie', async () => {
    const sessionId = async (claims) => (await inspect(header(await v5(claims)))).answer.session_id;
    const first = await sessionId(CLAIMS);
    assert.equal(await sessionId(CLAIMS), first);
    assert.notEqual(await sessionId({ ...CLAIMS, sid: 'sess_2' }), first);
    assert.notEqual(await sessionId({ ...CLAIMS, sub: 'usr_grace' }), first);
    const { sub } = CLAIMS;
    assert.equal(await sessionId({ sub }), await sessionId({ sub, tier: 'max' }));
  });

  test('other cookies around it do not disturb it', async () => {
    const others = [{ name: 'theme', value: 'dark' }, { name: 'authjs.csrf-token', value: 'x%7Cy' }];
    await assertSameAsApp([others[0], ...(await v5(CLAIMS)), others[1]], V5);
  });

  test('a token moved between the http and https names is invalid', async () => {
    const [{ value }] = await v5(CLAIMS, { name: V5_SECURE });
    const { answer } = await assertRefused(header([{ name: V5, value }]), 'session_invalid');
    assert.match(answer.reason, /secret|AUTH_SECRET/);
    assert.match(answer.reason, /salt|cookie name/i);
  });

  test('a token of another secret is invalid, and the reason names the secret but does not show it', async () => {
    const { stdout, stderr } = await assertRefused(header(await v5(CLAIMS, { secret: STRANGER })), 'session_invalid');
    assert.match(stdout, /AUTH_SECRET/);
    for (const text of [stdout, stderr]) assert.ok(!text.includes(SECRET) && !text.includes(STRANGER));
  });

  test('an expired session is expired, and was not before', async () => {
    const cookies = await v5(CLAIMS, { maxAge: -60 });
    await assertRefused(header(cookies), 'session_expired');
    const { code, answer } = await inspect(header(cookies), { at: seconds() - 120 });
    assert.deepEqual([code, answer.ok, answer.user_id], [0, true, 'usr_ada']);
  });

  test('the 15 s of clock tolerance are the library’s', async () => {
    const line = header(await v5(CLAIMS));
    const { exp } = await appReads(line);
    assert.equal((await inspect(line, { at: exp + 14 })).code, 0);
    const late = await inspect(line, { at: exp + 15 });
    assert.deepEqual([late.code, late.answer.code], [1, 'session_expired']);
  });

  test('no cookie is a missing session', async () => {
    await assertRefused('theme=dark', 'session_missing');
    await assertRefused('', 'session_missing');
  });

  test('a token with any one character changed is invalid', async () => {
    const [{ value }] = await v5(CLAIMS);
    const dots = [...value].flatMap((c, i) => (c === '.' ? [i] : []));
    // In each part: its first character and one well inside it (the last may hold unused bits).
    const places = [0, ...dots.slice(0, 4).map((dot) => dot + 1), ...dots.slice(2).map((dot) => dot + 9), 40];
    for (const place of places.filter((i) => value[i] !== '.')) {
      const other = value[place] === 'A' ? 'B' : 'A';
      const changed = value.slice(0, place) + other + value.slice(place + 1);
      await assertRefused(header([{ name: V5, value: changed }]), 'session_invalid');
    }
  });
});

describe('rotation', { concurrency: 4 }, () => {
  test('AUTH_SECRET_1 is accepted beside AUTH_SECRET', async () => {
    const env = appEnv({ AUTH_SECRET_1: OLD_SECRET });
    for (const secret of [SECRET, OLD_SECRET]) {
      for (const cookies of [await v5(CLAIMS, { secret }), await v4(CLAIMS, { secret })]) {
        assert.equal((await inspect(header(cookies), { env })).code, 0);
      }
    }
    const stranger = await inspect(header(await v5(CLAIMS, { secret: STRANGER })), { env });
    assert.deepEqual([stranger.code, stranger.answer.code], [1, 'session_invalid']);
  });

  test('AUTH_SECRET_FILE holds one secret a line', () =>
    withDirectory(async (directory) => {
      const file = join(directory, 'auth-secrets');
      await writeFile(file, `${SECRET}\n${OLD_SECRET}\n`);
      const { AUTH_SECRET: _, ...rest } = appEnv();
      const env = { ...rest, AUTH_SECRET_FILE: file };
      for (const secret of [SECRET, OLD_SECRET]) {
        assert.equal((await inspect(header(await v5(CLAIMS, { secret })), { env })).code, 0);
      }
      const stranger = await inspect(header(await v5(CLAIMS, { secret: STRANGER })), { env });
      assert.equal(stranger.code, 1);
    }));

  test('NEXTAUTH_SECRET alone opens the cookies of both', async () => {
    const { AUTH_SECRET, ...rest } = appEnv();
    const env = { ...rest, NEXTAUTH_SECRET: AUTH_SECRET };
    assert.equal((await inspect(header(await v4(CLAIMS)), { env })).code, 0);
    assert.equal((await inspect(header(await v5(CLAIMS)), { env })).code, 0);
  });
});

describe('NextAuth v4 cookies by next-auth', { concurrency: 4 }, () => {
  for (const name of [V4, V4_SECURE]) {
    test(`${name} reads as in the app`, async () => {
      const answer = await assertSameAsApp(await v4(CLAIMS, { name }), name);
      assert.equal(answer.cookie, name);
      assert.match(answer.provider, /nextauth/);
    });
  }

  test('a large session in chunks reads as in the app', async () => {
    const cookies = await v4({ ...CLAIMS, picture: 'p'.repeat(5_000) });
    assert.equal(cookies.length, 2);
    await assertSameAsApp(cookies, V4);
  });

  test('another secret, an expired session and a v5 token are refused', async () => {
    const stranger = header(await v4(CLAIMS, { secret: STRANGER }));
    await assertRefused(stranger, 'session_invalid', { name: V4 });
    await assertRefused(header(await v4(CLAIMS, { maxAge: -60 })), 'session_expired', { name: V4 });
    const [{ value }] = await v5(CLAIMS);
    await assertRefused(header([{ name: V4, value }]), 'session_invalid', { name: V4 });
  });
});

describe('a whole sign-in by Auth.js itself', { concurrency: 2 }, () => {
  for (const [origin, name] of [['http://localhost', V5], ['https://app.example', V5_SECURE]]) {
    test(`${origin}: signed in, rolled and signed out`, async () => {
      const app = new App(origin);
      await app.signIn('ada');
      const first = await inspect(app.jar.header);
      assert.deepEqual(
        [first.code, first.answer.user_id, first.answer.tier, first.answer.cookie],
        [0, 'usr_ada', 'pro', name],
      );
      const before = app.jar.header;
      await app.roll();
      assert.notEqual(app.jar.header, before);
      assert.equal((await inspect(app.jar.header)).answer.session_id, first.answer.session_id);
      await app.signOut();
      assert.equal((await inspect(app.jar.header)).answer.code, 'session_missing');
    });
  }
});
