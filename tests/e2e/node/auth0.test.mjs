// Auth0's Next.js SDK, its own stateless session store behind a small app. Sign-in itself needs an
// Auth0 tenant, so the app hands the store the session that the SDK's callback would.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';
import { generateSessionCookie } from '@auth0/nextjs-auth0/testing';
import { Browser, serve, startSessions, tampered } from '../lib/sessions.mjs';

// The package exports neither, and its `/server` entry needs Next.js.
const internal = (file) => import(new URL(`../node_modules/@auth0/nextjs-auth0/dist/server/${file}`, import.meta.url).href);
const { StatelessSessionStore } = await internal('session/stateless-session-store.js');
const { RequestCookies, ResponseCookies } = await internal('cookies.js');

const NAME = '__session';
const SECRETS = [
  'e2e-auth0-secret-1-0c9d7f51b8e2a364-not-for-production',
  'e2e-auth0-secret-0-b61a83e7d5f09c42-not-for-production',
];
const TIER_CLAIM = 'https://app.example/tier';
const DAY = 86_400;
const seconds = () => Math.floor(Date.now() / 1000);

const sessionOf = (name, tier, size = 0) => ({
  user: { sub: `auth0|${name}`, name, [TIER_CLAIM]: tier },
  tokenSet: { accessToken: 'a'.repeat(size), idToken: 'i', scope: 'openid', expiresAt: seconds() + 3_600 },
  internal: { sid: randomUUID(), createdAt: seconds() },
});

let app;
let sessions;
before(async () => {
  const store = new StatelessSessionStore({ secret: SECRETS[0] });
  app = await serve(async (request, response) => {
    const url = new URL(request.url, 'http://app');
    const given = new RequestCookies(new Headers({ cookie: request.headers.cookie ?? '' }));
    const headers = new Headers();
    const set = new ResponseCookies(headers);
    if (url.pathname === '/sign-in') {
      const { name, tier, size } = Object.fromEntries(url.searchParams);
      await store.set(given, set, sessionOf(name, tier, Number(size)), true);
    } else if (url.pathname === '/roll') {
      await store.set(given, set, await store.get(given));
    } else {
      await store.delete(given, set);
    }
    response.setHeader('set-cookie', headers.getSetCookie());
    response.end();
  });
  sessions = await startSessions(
    [{
      kind: 'auth0-v4',
      secrets: [{ env: 'AUTH0_SECRET' }, { env: 'AUTH0_SECRET_OLD' }],
      user_claim: ['user', 'sub'],
      tier_claim: ['user', TIER_CLAIM],
    }],
    { AUTH0_SECRET: SECRETS[0], AUTH0_SECRET_OLD: SECRETS[1] },
  );
});
after(async () => {
  await sessions?.stop();
  await app?.stop();
});
afterEach(() => sessions.assertClean());

async function signIn(name, tier, size = 0, browser = new Browser(app.origin)) {
  await browser.open(`/sign-in?${new URLSearchParams({ name, tier, size })}`);
  return { browser, cookie: browser.cookie, user: `auth0|${name}`, tier };
}

test('a signed-in user is served, and keeps the session id while the cookie rolls', async () => {
  const ada = await signIn('ada', 'pro');
  assert.deepEqual(ada.browser.jar.names(), [NAME]);
  const first = await sessions.served(ada.cookie, ada);
  await ada.browser.open('/roll');
  assert.notEqual(ada.browser.cookie, ada.cookie);
  assert.equal((await sessions.served(ada.browser.cookie, ada)).sessionId, first.sessionId);
});

test('a large session in chunks is served, in any order and not without one', async () => {
  const big = await signIn('big', 'pro', 6_000);
  assert.deepEqual(big.browser.jar.names().sort(), [0, 1, 2].map((i) => `${NAME}__${i}`));
  await sessions.served(big.cookie, big);
  const pairs = big.cookie.split('; ');
  await sessions.served(pairs.toReversed().join('; '), big);
  await sessions.refused([pairs[0], pairs[2]].join('; '));
});

test('a session that grew and shrank is served', async () => {
  const { browser } = await signIn('shrink', 'pro', 6_000);
  const small = await signIn('shrink', 'pro', 0, browser);
  assert.deepEqual(browser.jar.names(), [NAME]);
  await sessions.served(small.cookie, small);
});

test('two users are never mixed', async () => {
  await sessions.neverMixed([await signIn('ada', 'pro'), await signIn('grace', 'free')]);
});

test('a changed cookie is refused, and one of another secret', async () => {
  await sessions.refused(tampered((await signIn('ada', 'pro')).cookie, NAME));
  const secret = 'e2e-auth0-secret-9-9f8e7d6c5b4a3021-not-for-production';
  await sessions.refused(`${NAME}=${await generateSessionCookie(sessionOf('ada', 'pro'), { secret })}`);
});

test('a cookie under the secret before the newest is served', async () => {
  const value = await generateSessionCookie(sessionOf('ada', 'pro'), { secret: SECRETS[1] });
  await sessions.served(`${NAME}=${value}`, { user: 'auth0|ada', tier: 'pro' });
});

test('a session is expired after a day without a request', async () => {
  const { cookie } = await signIn('late', 'pro');
  assert.equal((await sessions.inspect(cookie, seconds() + DAY - 60)).code, 0);
  await sessions.refused(cookie, 'session_expired', seconds() + DAY + 60);
});

test('a stateful session’s cookie, which holds an id alone, is refused', async () => {
  const { encrypt } = await internal('cookies.js');
  await sessions.refused(`${NAME}=${await encrypt({ id: randomUUID() }, SECRETS[0], seconds() + 3_600)}`);
});

test('after sign-out the browser has no session', async () => {
  const { browser } = await signIn('out', 'pro', 6_000);
  await browser.open('/sign-out');
  await sessions.refused(browser.cookie, 'session_missing');
});
