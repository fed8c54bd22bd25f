// What sign-out cannot do: a copied Auth.js cookie stays valid after it, and a revocation ends it.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { App, SECRET } from '../lib/cookies.mjs';
import { startSessions } from '../lib/sessions.mjs';

const TOKEN = 'e2e-admin-token-8d40f7b2ce951a36';

let sessions;
before(async () => {
  sessions = await startSessions(
    [{ kind: 'authjs-v5', secrets: [{ env: 'AUTH_SECRET' }] }],
    { AUTH_SECRET: SECRET, GATEWAY_ADMIN_TOKEN: TOKEN },
  );
});
after(() => sessions?.stop());
afterEach(() => sessions.assertClean());

async function admin(method, path, body) {
  const answer = await fetch(`${sessions.stack.adminOrigin}${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}

async function signIn(name) {
  const app = new App();
  await app.signIn(name);
  return app;
}

const codeOf = async (cookie) => (await sessions.ask(cookie)).code ?? 200;

test('a copied cookie outlives sign-out, and ends with the user’s revocation until that is lifted', async () => {
  const [ada, grace] = [await signIn('ada'), await signIn('grace')];
  const copy = ada.jar.header;
  await ada.signOut();
  assert.equal(await codeOf(ada.jar.header), 'session_missing');
  assert.equal(await codeOf(copy), 200);
  const { id } = await admin('POST', '/revocations', { user_id: 'usr_ada', reason: 'signed out' });
  assert.equal(await codeOf(copy), 'session_revoked');
  assert.equal(await codeOf((await signIn('ada')).jar.header), 'session_revoked', 'later sessions too');
  assert.equal(await codeOf(grace.jar.header), 200);
  await admin('DELETE', `/revocations/${id}`);
  assert.equal(await codeOf(copy), 200);
});

test('one browser session is ended, however often its cookie rolls, and the user’s others go on', async () => {
  const [stolen, own] = [await signIn('grace'), await signIn('grace')];
  const { status, sessionId } = await sessions.ask(stolen.jar.header);
  assert.equal(status, 200);
  const { id } = await admin('POST', '/revocations', { session_id: sessionId });
  await stolen.roll();
  assert.equal(await codeOf(stolen.jar.header), 'session_revoked');
  assert.equal(await codeOf(own.jar.header), 200);
  await admin('DELETE', `/revocations/${id}`);
});
