// Signed sessions made by jose: every algorithm, keys that rotate, and an issuer that is away.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { SignJWT } from 'jose';
import { AUDIENCE, ISSUER, Issuer } from '../lib/issuer.mjs';
import { until } from '../lib/programs.mjs';
import { startSessions, tampered } from '../lib/sessions.mjs';

const NAME = 'app_token';
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const TIER_CLAIM = 'https://app.example/tier';
const HS256_SECRET = 'e2e-jwt-secret-0f7b4c2d8a91e635-not-for-production';
/** Keys are asked for again at most every 30 s. */
const REFRESHED_WITHIN_MS = 90_000;

const ADA = { sub: 'usr_ada', [TIER_CLAIM]: 'pro' };
const GRACE = { sub: 'usr_grace', [TIER_CLAIM]: 'free' };
const cookie = (token) => `${NAME}=${token}`;
const byJwks = (issuer, more = {}) => ({
  kind: 'signed',
  cookie_names: [NAME],
  jwks_url: issuer.jwksUrl,
  issuer: ISSUER,
  audience: AUDIENCE,
  algorithms: ALGORITHMS,
  tier_claim: [TIER_CLAIM],
  ...more,
});

describe('by the keys of an issuer', () => {
  let issuer;
  let sessions;
  before(async () => {
    issuer = await Issuer.start(ALGORITHMS);
    sessions = await startSessions([byJwks(issuer)]);
  });
  after(async () => {
    await sessions?.stop();
    await issuer?.stop();
  });
  afterEach(() => sessions.assertClean());

  for (const alg of ALGORITHMS) {
    test(`${alg}: served, and refused when changed`, async () => {
      const line = cookie(await issuer.sign(ADA, { kid: `${alg}-1` }));
      await sessions.served(line, { user: 'usr_ada', tier: 'pro' });
      await sessions.refused(tampered(line, NAME));
    });
  }

  test('two users are never mixed', async () => {
    await sessions.neverMixed([
      { cookie: cookie(await issuer.sign(ADA)), user: 'usr_ada', tier: 'pro' },
      { cookie: cookie(await issuer.sign(GRACE)), user: 'usr_grace', tier: 'free' },
    ]);
  });

  test('an expired token is expired, also after it was served', async () => {
    await sessions.refused(cookie(await issuer.sign(ADA, { life: -60 })), 'session_expired');
    const line = cookie(await issuer.sign({ ...ADA, sub: 'usr_brief' }, { life: 8 }));
    assert.equal((await sessions.ask(line)).status, 200);
    const expired = async () => (await sessions.ask(line)).code === 'session_expired';
    await until('the token that was served expires', expired, 30_000, 100);
  });

  test('another issuer, another audience, no user, and an algorithm that is not listed are refused', async () => {
    for (const claims of [{ iss: 'https://issuer.example' }, { aud: 'https://other.example' }, { sub: undefined }]) {
      await sessions.refused(cookie(await issuer.sign({ ...ADA, ...claims })));
    }
    await sessions.refused(cookie(await shared(ADA, { alg: 'HS256', kid: 'RS256-1' })));
    await sessions.refused(cookie(unsigned()));
  });

  test('a key of one algorithm does not verify another', async () => {
    const { privateKey } = issuer.keys.get('RS256-1');
    const now = Math.floor(Date.now() / 1000);
    const token = await new SignJWT({ iss: ISSUER, aud: AUDIENCE, iat: now, exp: now + 60, ...ADA })
      .setProtectedHeader({ alg: 'RS256', kid: 'ES256-1' })
      .sign(privateKey);
    await sessions.refused(cookie(token));
  });

  test('a new key is picked up on an unknown kid, and the old one goes on', async () => {
    await issuer.addKey('ES256', 'ES256-2');
    const line = cookie(await issuer.sign(GRACE, { kid: 'ES256-2' }));
    const served = async () => (await sessions.ask(line)).status === 200;
    await until('the new key is known', served, REFRESHED_WITHIN_MS, 200);
    await sessions.served(cookie(await issuer.sign(ADA, { kid: 'ES256-1' })), { user: 'usr_ada', tier: 'pro' });
  });

  test('made-up kids do not make the gateway ask the issuer again and again', async () => {
    const before = issuer.asked;
    const tokens = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const [, claims, signature] = (await issuer.sign(ADA)).split('.');
        const head = Buffer.from(JSON.stringify({ alg: 'RS256', kid: `made-up-${i}` })).toString('base64url');
        return [head, claims, signature].join('.');
      }),
    );
    const answers = await Promise.all(tokens.map((token) => sessions.ask(cookie(token))));
    for (const { status } of answers) assert.notEqual(status, 200);
    assert.ok(issuer.asked - before <= 3, `${issuer.asked - before} more`);
  });

  test('an issuer that goes away is not missed', async () => {
    await issuer.stop();
    for (let round = 0; round < 3; round++) {
      const user = `usr_late_${round}`;
      const { status, user: seen } = await sessions.ask(cookie(await issuer.sign({ sub: user })));
      assert.deepEqual([status, seen], [200, user]);
    }
  });
});

describe('an issuer that is away at the start', () => {
  test('is a 503 to be tried again, and no obstacle once it is back', async () => {
    const issuer = await Issuer.prepare(['ES256']);
    const sessions = await startSessions([byJwks(issuer)]);
    try {
      const line = cookie(await issuer.sign(ADA));
      const { status, code, retryAfter } = await sessions.ask(line);
      assert.deepEqual([status, code], [503, 'session_unavailable']);
      assert.match(retryAfter, /^\d+$/);
      assert.equal((await sessions.ask('theme=dark')).code, 'session_missing');
      await issuer.open();
      const served = async () => (await sessions.ask(line)).status === 200;
      await until('the session is served', served, REFRESHED_WITHIN_MS, 200);
      await sessions.served(line, { user: 'usr_ada', tier: 'pro' });
    } finally {
      await sessions.stop();
      await issuer.stop();
    }
  });
});

describe('by a shared secret', () => {
  test('HS256: served, refused when changed or under another secret, expired', async () => {
    const provider = {
      kind: 'signed',
      cookie_names: [NAME],
      secrets: [{ env: 'JWT_SECRET' }],
      algorithms: ['HS256'],
      issuer: ISSUER,
      audience: AUDIENCE,
      tier_claim: [TIER_CLAIM],
    };
    const sessions = await startSessions([provider], { JWT_SECRET: HS256_SECRET });
    try {
      const line = cookie(await shared(ADA));
      await sessions.served(line, { user: 'usr_ada', tier: 'pro' });
      await sessions.refused(tampered(line, NAME));
      await sessions.refused(cookie(await shared(ADA, {}, `${HS256_SECRET}x`)));
      await sessions.refused(cookie(await shared({ ...ADA, exp: Math.floor(Date.now() / 1000) - 60 })), 'session_expired');
      await sessions.refused(cookie(unsigned()));
    } finally {
      await sessions.stop();
    }
  });
});

/** A token under a shared secret. */
function shared(claims, header = {}, secret = HS256_SECRET) {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ iss: ISSUER, aud: AUDIENCE, iat: now, exp: now + 600, ...claims })
    .setProtectedHeader({ alg: 'HS256', ...header })
    .sign(new TextEncoder().encode(secret));
}

/** A token with `alg: none`. */
function unsigned() {
  const part = (of) => Buffer.from(JSON.stringify(of)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 600;
  return `${part({ alg: 'none' })}.${part({ iss: ISSUER, aud: AUDIENCE, exp, ...ADA })}.`;
}
