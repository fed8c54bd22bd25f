// Auth.js's database strategy through a running app: the cookie holds nothing, the app is asked.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { V5, V5_SECURE } from '../lib/cookies.mjs';
import { startDatabaseApp } from '../lib/database-app.mjs';
import { until } from '../lib/programs.mjs';
import { startSessions, tampered } from '../lib/sessions.mjs';

/** The longest that the gateway may serve a session that it has asked for, and then some. */
const CACHE_WITHIN_MS = 15_000;

let app;
let sessions;
before(async () => {
  app = await startDatabaseApp();
  sessions = await startSessions([
    { kind: 'authjs-database', url: `${app.origin}/api/auth/session`, cache: '1s' },
  ]);
});
after(async () => {
  await sessions?.stop();
  await app?.stop();
});
afterEach(() => sessions.assertClean());

test('a signed-in user is served, and the app is sent the session cookie alone', async () => {
  const ada = await app.signIn('ada', 'pro');
  assert.ok(ada.browser.jar.names().includes(V5), ada.browser.jar.names().join());
  app.asked.length = 0;
  await sessions.served(`theme=dark; ${ada.cookie}`, ada);
  assert.ok(app.asked.length > 0);
  for (const { names } of app.asked) assert.deepEqual(names, [V5]);
});

test('a session over https is asked for with the scheme that the browser sees', async () => {
  const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'app.example' };
  const ada = await app.signIn('secure', 'pro', forwarded);
  assert.ok(ada.browser.jar.names().includes(V5_SECURE), ada.browser.jar.names().join());
  const https = await startSessions(
    [{ kind: 'authjs-database', url: `${app.origin}/api/auth/session` }],
    { GATEWAY_PUBLIC_ORIGIN: 'https://app.example' },
  );
  try {
    app.asked.length = 0;
    await https.served(ada.cookie, ada);
    const [request, ...inspected] = app.asked.map(({ url }) => new URL(url));
    assert.equal(request.origin, 'https://app.example');
    assert.ok(inspected.length > 0 && inspected.every(({ protocol }) => protocol === 'https:'));
  } finally {
    await https.stop();
  }
});

test('two users are never mixed', async () => {
  await sessions.neverMixed([await app.signIn('grace', 'free'), await app.signIn('lin', 'max')]);
});

test('many requests with one cookie are one question to the app', async () => {
  const { cookie } = await app.signIn('many', 'pro');
  app.asked.length = 0;
  const answers = await Promise.all(Array.from({ length: 12 }, () => sessions.ask(cookie)));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.ok(app.asked.length < 6, `${app.asked.length} questions`);
});

test('a changed cookie is refused', async () => {
  const { cookie } = await app.signIn('tam', 'pro');
  await sessions.refused(tampered(cookie, V5));
});

test('a session that has ended in the database is refused', async () => {
  const late = await app.signIn('late', 'pro');
  for (const session of app.adapter.sessions.values()) {
    if (session.userId === late.user) session.expires = new Date(Date.now() - 1_000);
  }
  await sessions.refused(late.cookie);
});

test('a changed tier is another identity once the cache has forgotten the old one', async () => {
  const ada = await app.signIn('change', 'free');
  await sessions.served(ada.cookie, ada);
  app.adapter.updateUser({ id: ada.user, tier: 'max' });
  const changed = async () => (await sessions.ask(ada.cookie)).tier === 'max';
  await until('the tier is the new one', changed, CACHE_WITHIN_MS, 100);
});

test('a signed-out session is refused once the cache has forgotten it', async () => {
  const ada = await app.signIn('out', 'pro');
  await sessions.served(ada.cookie, ada);
  await app.signOut(ada);
  const gone = async () => (await sessions.ask(ada.cookie)).status === 401;
  await until('the signed-out session is refused', gone, CACHE_WITHIN_MS, 100);
  await sessions.refused(ada.cookie);
  await sessions.refused(ada.browser.cookie, 'session_missing');
});

test('an app that is down is a 503 to be tried again, and not a sign-out', async () => {
  const other = await startDatabaseApp();
  const asking = await startSessions([
    { kind: 'authjs-database', url: `${other.origin}/api/auth/session`, cache: '1s', timeout: '500ms' },
  ]);
  try {
    const ada = await other.signIn('down', 'pro');
    await asking.served(ada.cookie, ada);
    await other.stop();
    const down = await until(
      'the cache has forgotten the session',
      async () => {
        const answer = await asking.ask(ada.cookie);
        return answer.status !== 200 && answer;
      },
      CACHE_WITHIN_MS,
      100,
    );
    assert.deepEqual([down.status, down.code], [503, 'session_unavailable']);
    assert.match(down.retryAfter, /^\d+$/);
  } finally {
    await asking.stop();
    await other.stop().catch(() => {});
  }
});
