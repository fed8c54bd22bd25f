// better-auth in a small running app: email and password over HTTP, in each strategy of its cookie
// cache (offline), and without a cache (the gateway asks the app).
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { until } from '../lib/programs.mjs';
import { Browser, serve, startSessions, tampered } from '../lib/sessions.mjs';

const SECRET = 'e2e-better-auth-4be1c07d92f8a356-not-for-production';
const TOKEN = 'better-auth.session_token';
const DATA = 'better-auth.session_data';
const CACHE_LIFE = 300;
/** The longest that the gateway may serve a session that it has asked for, and then some. */
const CACHE_WITHIN_MS = 15_000;

/** An app with better-auth's own handler; the tier is a column that only the server writes. */
async function startApp(cookieCache) {
  const db = { user: [], session: [], account: [], verification: [] };
  let auth;
  const server = await serve((request, response) => toNodeHandler(auth)(request, response));
  auth = betterAuth({
    baseURL: server.origin,
    secret: SECRET,
    database: memoryAdapter(db),
    emailAndPassword: { enabled: true },
    user: {
      additionalFields: {
        tier: { type: 'string', input: false, defaultValue: 'free' },
        notes: { type: 'string', required: false },
      },
    },
    session: { cookieCache },
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true },
  });
  return { ...server, db, signIn: (name, tier, notes) => signIn(server.origin, db, { name, tier, notes }) };
}

/** Signs up, is given the tier by the server, and signs in: a browser and the user's id. */
async function signIn(origin, db, { name, tier, notes }) {
  const browser = new Browser(origin);
  const account = { email: `${name}@example.test`, password: 'a long enough password' };
  const made = await browser.open('/api/auth/sign-up/email', { ...account, name, ...(notes && { notes }) });
  assert.equal(made.status, 200, await made.text());
  const row = db.user.find(({ email }) => email === account.email);
  row.tier = tier;
  const signed = await browser.open('/api/auth/sign-in/email', account);
  assert.equal(signed.status, 200, await signed.text());
  return { browser, user: row.id, tier };
}

const signOut = async ({ browser }) => assert.equal((await browser.open('/api/auth/sign-out', {})).status, 200);

describe('without a cache, by asking the app', () => {
  let app;
  let sessions;
  before(async () => {
    app = await startApp({ enabled: false });
    sessions = await startSessions(
      [{
        kind: 'better-auth',
        url: `${app.origin}/api/auth/get-session`,
        secrets: [{ env: 'BETTER_AUTH_SECRET' }],
        cache: '1s',
      }],
      { BETTER_AUTH_SECRET: SECRET },
    );
  });
  after(async () => {
    await sessions?.stop();
    await app?.stop();
  });
  afterEach(() => sessions.assertClean());

  test('a signed-in user is served', async () => {
    const ada = await app.signIn('ada', 'pro');
    assert.deepEqual(ada.browser.jar.names(), [TOKEN]);
    await sessions.served(ada.browser.cookie, ada);
  });

  test('two users are never mixed', async () => {
    const users = [await app.signIn('grace', 'free'), await app.signIn('lin', 'max')];
    await sessions.neverMixed(users.map((each) => ({ ...each, cookie: each.browser.cookie })));
  });

  test('a changed token is refused by its signature', async () => {
    const { browser } = await app.signIn('tam', 'pro');
    await sessions.refused(tampered(browser.cookie, TOKEN));
  });

  test('a signed-out session is refused once the cache has forgotten it', async () => {
    const ada = await app.signIn('out', 'pro');
    const { cookie } = ada.browser;
    await sessions.served(cookie, ada);
    await signOut(ada);
    const gone = async () => (await sessions.ask(cookie)).status === 401;
    await until('the signed-out session is refused', gone, CACHE_WITHIN_MS, 100);
    await sessions.refused(cookie);
  });

  test('a session that has ended in the database is refused', async () => {
    const { browser, user } = await app.signIn('late', 'pro');
    for (const row of app.db.session.filter(({ userId }) => userId === user)) row.expiresAt = new Date(Date.now() - 1_000);
    await sessions.refused(browser.cookie);
  });

  test('no cookie is a missing session, and the app is not asked', async () => {
    await sessions.refused('theme=dark', 'session_missing');
  });
});

for (const strategy of ['compact', 'jwt', 'jwe']) {
  describe(`the ${strategy} cache, offline`, () => {
    let app;
    let sessions;
    before(async () => {
      app = await startApp({ enabled: true, maxAge: CACHE_LIFE, strategy });
      sessions = await startSessions(
        [{ kind: 'better-auth-cache', strategy, secrets: [{ env: 'BETTER_AUTH_SECRET' }] }],
        { BETTER_AUTH_SECRET: SECRET },
      );
    });
    after(async () => {
      await sessions?.stop();
      await app?.stop();
    });
    afterEach(() => sessions.assertClean());

    test('a signed-in user is served', async () => {
      const ada = await app.signIn('ada', 'pro');
      assert.deepEqual(ada.browser.jar.names().sort(), [DATA, TOKEN]);
      await sessions.served(ada.browser.cookie, ada);
    });

    test('a cache in chunks is served', async () => {
      const big = await app.signIn('big', 'pro', 'n'.repeat(5_000));
      assert.ok(big.browser.jar.names().includes(`${DATA}.1`), big.browser.jar.names().join());
      await sessions.served(big.browser.cookie, big);
    });

    test('two users are never mixed, nor is one’s cache taken with the other’s token', async () => {
      const [grace, lin] = [await app.signIn('grace', 'free'), await app.signIn('lin', 'max')];
      await sessions.neverMixed([grace, lin].map((each) => ({ ...each, cookie: each.browser.cookie })));
      const pair = (browser, name) => browser.cookie.split('; ').find((given) => given.startsWith(`${name}=`));
      await sessions.refused([pair(grace.browser, TOKEN), pair(lin.browser, DATA)].join('; '));
      await sessions.refused(pair(lin.browser, DATA));
    });

    test('a changed cache and a changed token are refused', async () => {
      const { browser } = await app.signIn('tam', 'pro');
      await sessions.refused(tampered(browser.cookie, DATA));
      await sessions.refused(tampered(browser.cookie, TOKEN));
    });

    test('a cache whose life is over is expired', async () => {
      const { browser } = await app.signIn('late', 'pro');
      await sessions.refused(browser.cookie, 'session_expired', Math.floor(Date.now() / 1000) + CACHE_LIFE + 60);
    });

    test('the cookies that sign-out leaves are no session; a copy lives until the cache ends', async () => {
      const ada = await app.signIn('out', 'pro');
      const copy = ada.browser.cookie;
      await signOut(ada);
      await sessions.refused(ada.browser.cookie, 'session_missing');
      await sessions.served(copy, ada);
    });
  });
}
