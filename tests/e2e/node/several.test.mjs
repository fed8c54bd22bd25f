// Several providers at once: an app that moves from NextAuth v4 to Auth.js v5, beside a second
// directory of users whose ids are kept apart and of whom more is asked.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { generateSessionCookie } from '@auth0/nextjs-auth0/testing';
import { header, SECRET, STRANGER, V4, v4, V5, v5 } from '../lib/cookies.mjs';
import { startSessions } from '../lib/sessions.mjs';

const STAFF_SECRET = 'e2e-staff-secret-6e0d92b47fa1c385-not-for-production';
const ADA = { sub: 'usr_ada', tier: 'pro' };
const OLD_ADA = { sub: 'usr_ada', tier: 'free' };

let sessions;
before(async () => {
  sessions = await startSessions(
    [
      { kind: 'authjs-v5', secrets: [{ env: 'AUTH_SECRET' }] },
      { kind: 'nextauth-v4', secrets: [{ env: 'NEXTAUTH_SECRET' }] },
      {
        kind: 'auth0-v4',
        secrets: [{ env: 'STAFF_SECRET' }],
        user_prefix: 'staff:',
        required: [
          { claim: ['user', 'email_verified'], one_of: [true] },
          { claim: ['user', 'department'], one_of: ['support', 'research'] },
        ],
      },
    ],
    { AUTH_SECRET: SECRET, NEXTAUTH_SECRET: SECRET, STAFF_SECRET },
  );
});
after(() => sessions?.stop());
afterEach(() => sessions.assertClean());

const staff = async (user) => {
  const session = { user: { sub: 'usr_ada', tier: 'max', ...user }, tokenSet: { accessToken: 'a', expiresAt: 0 } };
  return `__session=${await generateSessionCookie(session, { secret: STAFF_SECRET })}`;
};
const SUPPORT = { email_verified: true, department: 'support' };

test('each cookie is served by its own provider', async () => {
  await sessions.served(header(await v5(ADA)), { user: 'usr_ada', tier: 'pro' });
  await sessions.served(header(await v4(OLD_ADA)), { user: 'usr_ada', tier: 'free' });
  await sessions.served(await staff(SUPPORT), { user: 'staff:usr_ada', tier: 'max' });
});

test('inspect says who looked for which cookie, and the last of them decided', async () => {
  const { answer } = await sessions.inspect(header(await v4(OLD_ADA)));
  assert.equal(answer.provider, 'nextauth-v4');
  const { provider, cookie, there } = answer.looks.at(-1);
  assert.deepEqual({ provider, cookie, there }, { provider: 'nextauth-v4', cookie: V4, there: true });
  assert.ok(answer.looks.slice(0, -1).every((look) => !look.there));
  assert.ok(answer.looks.some((look) => look.provider === 'authjs-v5'));
});

test('of several cookies the first provider’s decides, whatever their order in the header', async () => {
  const both = [header(await v5(ADA)), header(await v4(OLD_ADA)), await staff(SUPPORT)];
  for (const line of [both.join('; '), both.toReversed().join('; ')]) {
    await sessions.served(line, { user: 'usr_ada', tier: 'pro' });
  }
});

test('an invalid or expired cookie of the first provider is not made good by the next', async () => {
  const old = header(await v4(OLD_ADA));
  await sessions.refused(`${header(await v5(ADA, { secret: STRANGER }))}; ${old}`);
  await sessions.refused(`${header(await v5(ADA, { maxAge: -60 }))}; ${old}`, 'session_expired');
  await sessions.refused(`${V5}=garbage; ${old}`);
});

test('a cookie that was cleared is absent', async () => {
  await sessions.served(`${V5}=; ${header(await v4(OLD_ADA))}`, { user: 'usr_ada', tier: 'free' });
});

test('a session that lacks a required claim is 403 session_not_allowed', async () => {
  const lacking = [
    { ...SUPPORT, email_verified: false },
    { ...SUPPORT, email_verified: 'true' },
    { ...SUPPORT, department: 'sales' },
    { email_verified: true },
    {},
  ];
  for (const user of lacking) {
    const line = await staff(user);
    const { status, code, user: seen } = await sessions.ask(line);
    assert.deepEqual([status, code, seen], [403, 'session_not_allowed', undefined], JSON.stringify(user));
    const { answer } = await sessions.inspect(line);
    assert.deepEqual([answer.ok, answer.code], [false, 'session_not_allowed']);
    assert.match(answer.reason, /email_verified|department/);
  }
});

test('two directories with one user id are two users', async () => {
  await sessions.neverMixed([
    { cookie: header(await v5(ADA)), user: 'usr_ada', tier: 'pro' },
    { cookie: await staff(SUPPORT), user: 'staff:usr_ada', tier: 'max' },
  ]);
});
