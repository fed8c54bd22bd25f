// A caller without cookies, a mobile app or a server, that holds a token of the identity provider.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import OpenAI from 'openai';
import { AUDIENCE, ISSUER, Issuer } from '../lib/issuer.mjs';
import { header, SECRET, v5 } from '../lib/cookies.mjs';
import { startSessions } from '../lib/sessions.mjs';

const ALGORITHMS = ['RS256', 'ES256'];
const ADA = { sub: 'usr_ada', tier: 'pro' };
const authorization = (token) => ({ authorization: `Bearer ${token}` });

let issuer;
let sessions;
before(async () => {
  issuer = await Issuer.start(ALGORITHMS);
  sessions = await startSessions(
    [
      { kind: 'authjs-v5', secrets: [{ env: 'AUTH_SECRET' }] },
      { kind: 'bearer', jwks_url: issuer.jwksUrl, issuer: ISSUER, audience: AUDIENCE, algorithms: ALGORITHMS },
    ],
    { AUTH_SECRET: SECRET },
  );
});
after(async () => {
  await sessions?.stop();
  await issuer?.stop();
});
afterEach(() => sessions.assertClean());

const withToken = (token, cookie) => sessions.ask(cookie, authorization(token));
const inspected = (token, cookie = '') => sessions.inspect(`${cookie}\nAuthorization: Bearer ${token}`);

test('a token is served as its user and tier', async () => {
  for (const kid of ['RS256-1', 'ES256-1']) {
    const token = await issuer.sign(ADA, { kid });
    const { status, user, tier, sessionId } = await withToken(token);
    assert.deepEqual({ status, user, tier }, { status: 200, user: 'usr_ada', tier: 'pro' });
    const { code, answer } = await inspected(token);
    const { ok, user_id, session_id, provider } = answer;
    assert.deepEqual([code, ok, user_id, answer.tier], [0, true, 'usr_ada', 'pro'], JSON.stringify(answer));
    assert.deepEqual([session_id, provider], [sessionId, 'bearer']);
  }
});

test('the OpenAI SDK can carry it as its key', async () => {
  const client = new OpenAI({
    baseURL: `${sessions.stack.origin}/v1`,
    apiKey: await issuer.sign({ sub: 'usr_mobile', tier: 'free' }),
    maxRetries: 0,
  });
  sessions.stack.tap.clear();
  await client.models.list();
  assert.equal(sessions.stack.tap.calls[0].token.claims.uid, 'usr_mobile');
});

test('two users are never mixed', async () => {
  const users = [ADA, { sub: 'usr_grace', tier: 'free' }];
  const tokens = await Promise.all(users.map((claims) => issuer.sign(claims)));
  const rounds = Array.from({ length: 12 }, (_, i) => i % 2);
  const answers = await Promise.all(rounds.map((i) => withToken(tokens[i])));
  answers.forEach(({ status, user, tier }, i) => {
    const { sub, tier: expected } = users[rounds[i]];
    assert.deepEqual({ status, user, tier }, { status: 200, user: sub, tier: expected });
  });
});

test('a changed, an expired and a stranger’s token are refused', async () => {
  const token = await issuer.sign(ADA);
  const [head, claims, signature] = token.split('.');
  const changed = `${signature.slice(0, 40)}${signature[40] === 'A' ? 'B' : 'A'}${signature.slice(41)}`;
  const stranger = await Issuer.prepare(ALGORITHMS);
  const cases = [
    [[head, claims, changed].join('.'), 'session_invalid'],
    [await stranger.sign(ADA), 'session_invalid'],
    [await issuer.sign({ ...ADA, aud: 'https://other.example' }), 'session_invalid'],
    [await issuer.sign(ADA, { life: -60 }), 'session_expired'],
  ];
  for (const [bad, expected] of cases) {
    const { status, code, user } = await withToken(bad);
    assert.deepEqual([status, code, user], [401, expected, undefined]);
    const { answer, stdout } = await inspected(bad);
    assert.deepEqual([answer.ok, answer.code], [false, expected], JSON.stringify(answer));
    assert.ok(!stdout.includes(bad.split('.')[2]), 'inspect shows no token');
  }
});

test('what is no token at all is discarded, as the SDK’s placeholder must be', async () => {
  for (const key of ['unused', 'sk-1234567890', 'a.b']) assert.equal((await withToken(key)).code, 'session_missing');
  const cookie = header(await v5({ sub: 'usr_page', tier: 'max' }));
  const { status, user } = await withToken('unused', cookie);
  assert.deepEqual([status, user], [200, 'usr_page']);
});

test('a token beside a session cookie is refused: it is not clear who asks', async () => {
  const cookie = header(await v5({ sub: 'usr_page', tier: 'max' }));
  const token = await issuer.sign(ADA);
  const { status, code, user } = await withToken(token, cookie);
  assert.deepEqual([status, code, user], [401, 'session_invalid', undefined]);
  assert.match((await inspected(token, cookie)).answer.reason, /both/);
});

test('a page on another site cannot use it', async () => {
  const { status, code } = await sessions.ask(undefined, {
    ...authorization(await issuer.sign(ADA)),
    origin: 'https://evil.example',
  });
  assert.deepEqual([status, code], [403, 'cross_origin_refused']);
});
