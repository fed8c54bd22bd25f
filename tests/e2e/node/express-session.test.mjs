// express-session in a running Express app: the cookie is a signed name, the app is asked.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import express from 'express';
import session from 'express-session';
import { until } from '../lib/programs.mjs';
import { Browser, serve, startSessions, tampered } from '../lib/sessions.mjs';

const NAME = 'connect.sid';
const SECRETS = [
  'e2e-express-secret-1-a20f4c7e9b6d1835-not-for-production',
  'e2e-express-secret-0-5d8e13b7f0c2a946-not-for-production',
];
const TIERS = { ada: 'pro', grace: 'free', out: 'max' };
const CACHE_WITHIN_MS = 15_000;

/** `questions`: how often the session was asked for. */
async function startApp(secret = SECRETS) {
  const store = new session.MemoryStore();
  const state = { store, questions: 0 };
  const app = express();
  app.use(session({ secret, store, resave: false, saveUninitialized: false }));
  app.post('/sign-in/:name', (request, response, next) => {
    const { name } = request.params;
    request.session.regenerate((error) => {
      request.session.user = { id: `usr_${name}`, tier: TIERS[name] };
      return error ? next(error) : response.end();
    });
  });
  app.post('/sign-out', (request, response) => request.session.destroy(() => response.end()));
  app.get('/session', (request, response) => {
    state.questions += 1;
    const { user = null, cookie } = request.session;
    response.json({ user, expires: cookie.expires });
  });
  return Object.assign(state, await serve(app));
}

let app;
let sessions;
before(async () => {
  app = await startApp();
  sessions = await startSessions(
    [{
      kind: 'express-session',
      url: `${app.origin}/session`,
      secrets: [{ env: 'EXPRESS_SECRET_1' }, { env: 'EXPRESS_SECRET_0' }],
      user_claim: ['user', 'id'],
      tier_claim: ['user', 'tier'],
      cache: '1s',
    }],
    { EXPRESS_SECRET_1: SECRETS[0], EXPRESS_SECRET_0: SECRETS[1] },
  );
});
after(async () => {
  await sessions?.stop();
  await app?.stop();
});
afterEach(() => sessions.assertClean());

async function signIn(name, at = app) {
  const browser = new Browser(at.origin);
  assert.equal((await browser.open(`/sign-in/${name}`, {})).status, 200);
  assert.deepEqual(browser.jar.names(), [NAME]);
  return { browser, cookie: browser.cookie, user: `usr_${name}`, tier: TIERS[name] };
}

test('a signed-in user is served', async () => {
  const ada = await signIn('ada');
  await sessions.served(ada.cookie, ada);
});

test('two users are never mixed', async () => sessions.neverMixed([await signIn('ada'), await signIn('grace')]));

test('a changed cookie and one of another secret are refused without asking the app', async () => {
  const { cookie } = await signIn('ada');
  const before = app.questions;
  await sessions.refused(tampered(cookie, NAME));
  const other = await startApp('e2e-express-secret-9-1b2c3d4e5f60718a-not-for-production');
  try {
    await sessions.refused((await signIn('ada', other)).cookie);
  } finally {
    await other.stop();
  }
  await sessions.refused(`${NAME}=${cookie.slice(`${NAME}=s%3A`.length).split('.')[0]}`);
  assert.equal(app.questions, before);
});

test('a cookie under the secret before the newest is served', async () => {
  const old = await startApp(SECRETS[1]);
  try {
    const { cookie } = await signIn('grace', old);
    // As after a deploy that rotated the secret and kept the store.
    Object.assign(app.store.sessions, old.store.sessions);
    await sessions.served(cookie, { user: 'usr_grace', tier: 'free' });
  } finally {
    await old.stop();
  }
});

test('a visitor without an account is refused', async () => {
  const visitor = await signIn('ada');
  for (const [sid, text] of Object.entries(app.store.sessions)) {
    if (visitor.cookie.includes(encodeURIComponent(sid))) {
      app.store.sessions[sid] = JSON.stringify({ ...JSON.parse(text), user: undefined });
    }
  }
  await sessions.refused(visitor.cookie);
});

test('a session that has ended in the store is refused', async () => {
  const late = await signIn('grace');
  for (const [sid, text] of Object.entries(app.store.sessions)) {
    if (late.cookie.includes(encodeURIComponent(sid))) {
      const kept = JSON.parse(text);
      kept.cookie.expires = new Date(Date.now() - 1_000);
      app.store.sessions[sid] = JSON.stringify(kept);
    }
  }
  await sessions.refused(late.cookie);
});

test('a signed-out session is refused once the cache has forgotten it', async () => {
  const out = await signIn('out');
  await sessions.served(out.cookie, out);
  await out.browser.open('/sign-out', {});
  const gone = async () => (await sessions.ask(out.cookie)).status === 401;
  await until('the signed-out session is refused', gone, CACHE_WITHIN_MS, 100);
  await sessions.refused(out.cookie);
});
