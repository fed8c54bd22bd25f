// iron-session in a small running app, whose cookie has the app's own name and no schema.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { getIronSession, sealData } from 'iron-session';
import { Browser, serve, startSessions, tampered } from '../lib/sessions.mjs';

const NAME = 'app-session';
const PASSWORDS = {
  1: 'e2e-iron-password-1-58c0a1f7d3e946b2-not-for-production',
  2: 'e2e-iron-password-2-c93b7e60a5d18f24-not-for-production',
};
const TIERS = { ada: 'pro', grace: 'free' };

let app;
let sessions;
before(async () => {
  app = await serve(async (request, response) => {
    const options = { cookieName: NAME, password: PASSWORDS, cookieOptions: { secure: false } };
    const session = await getIronSession(request, response, options);
    const { pathname, searchParams } = new URL(request.url, 'http://app');
    if (pathname === '/sign-in') {
      const name = searchParams.get('name');
      session.user = { id: `usr_${name}`, tier: TIERS[name] };
      await session.save();
    } else if (pathname === '/sign-out') {
      session.destroy();
    }
    response.end();
  });
  sessions = await startSessions(
    [{
      kind: 'iron-session',
      cookie_names: [NAME],
      passwords: { 1: { env: 'IRON_PASSWORD_1' }, 2: { env: 'IRON_PASSWORD_2' } },
      user_claim: ['user', 'id'],
      tier_claim: ['user', 'tier'],
    }],
    { IRON_PASSWORD_1: PASSWORDS[1], IRON_PASSWORD_2: PASSWORDS[2] },
  );
});
after(async () => {
  await sessions?.stop();
  await app?.stop();
});
afterEach(() => sessions.assertClean());

async function signIn(name) {
  const browser = new Browser(app.origin);
  await browser.open(`/sign-in?name=${name}`);
  assert.deepEqual(browser.jar.names(), [NAME]);
  return { browser, cookie: browser.cookie, user: `usr_${name}`, tier: TIERS[name] };
}

/** A cookie that the app would have made with these passwords or this life. */
const sealed = async (data, options = {}) => `${NAME}=${await sealData(data, { password: PASSWORDS, ...options })}`;

const ADA = { user: { id: 'usr_ada', tier: 'pro' } };

test('a signed-in user is served', async () => {
  const ada = await signIn('ada');
  await sessions.served(ada.cookie, ada);
});

test('two users are never mixed', async () => sessions.neverMixed([await signIn('ada'), await signIn('grace')]));

test('a changed seal is refused', async () => {
  await sessions.refused(tampered((await signIn('ada')).cookie, NAME));
});

test('a seal under the password before the newest is served, and one without an end too', async () => {
  const before = await sealed(ADA, { password: { 1: PASSWORDS[1] } });
  await sessions.served(before, { user: 'usr_ada', tier: 'pro' });
  await sessions.served(await sealed(ADA, { ttl: 0 }), { user: 'usr_ada', tier: 'pro' });
});

test('a seal under another password, or under an id that is not configured, is refused', async () => {
  const stranger = 'e2e-iron-password-3-1d2c3b4a59687f0e-not-for-production';
  await sessions.refused(await sealed(ADA, { password: { 1: stranger } }));
  await sessions.refused(await sealed(ADA, { password: { 3: stranger } }));
});

test('an expired seal is expired, with the library’s 60 s of tolerance', async () => {
  const cookie = await sealed(ADA, { ttl: 120 });
  const made = Math.floor(Date.now() / 1000);
  assert.equal((await sessions.inspect(cookie, made + 120 + 50)).code, 0);
  await sessions.refused(cookie, 'session_expired', made + 120 + 70);
});

test('a session that holds no user is refused', async () => {
  await sessions.refused(await sealed({}));
  await sessions.refused(await sealed({ user: { tier: 'pro' } }));
});

test('after sign-out the browser has no session', async () => {
  const { browser } = await signIn('ada');
  await browser.open('/sign-out');
  await sessions.refused(browser.cookie, 'session_missing');
});
