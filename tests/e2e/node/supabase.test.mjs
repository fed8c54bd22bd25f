// @supabase/ssr in a small running app, signing in through the real supabase-js client. Only the
// project's Auth service is ours: it signs with jose the tokens that a Supabase project signs.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { createServerClient, parseCookieHeader, serializeCookieHeader } from '@supabase/ssr';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { Browser, serve, startSessions, tampered } from '../lib/sessions.mjs';

const PROJECT = 'https://e2eproject.supabase.co';
const NAME = 'sb-e2eproject-auth-token';
const HS256_SECRET = 'e2e-supabase-jwt-secret-7d20c4b91fe86a35-not-for-production';
const LIFE = 3_600;
const TIERS = { ada: 'pro', grace: 'free' };
const IDS = { ada: randomUUID(), grace: randomUUID() };

const seconds = () => Math.floor(Date.now() / 1000);

/** A project's Auth service (`/auth/v1`) and an app on it, behind one port. */
async function startProject({ alg, key, jwks }) {
  const sign = (claims) => new SignJWT(claims).setProtectedHeader({ alg, kid: 'e2e-1', typ: 'JWT' }).sign(key);

  async function accessToken(name, more = {}) {
    return sign({
      iss: `${PROJECT}/auth/v1`,
      sub: IDS[name],
      aud: 'authenticated',
      role: 'authenticated',
      iat: seconds(),
      exp: seconds() + LIFE,
      session_id: randomUUID(),
      app_metadata: { provider: 'email', tier: TIERS[name] },
      user_metadata: { tier: 'self-promoted' },
      ...more,
    });
  }

  /** The service's side: a password grant, and sign-out. */
  async function service(url, init) {
    if (url.pathname === '/auth/v1/logout') return new Response(null, { status: 204 });
    assert.equal(url.pathname, '/auth/v1/token');
    const [name, about] = JSON.parse(init.body).email.split('@')[0].split('+');
    const bio = 'b'.repeat(Number(about ?? 0));
    return Response.json({
      access_token: await accessToken(name),
      token_type: 'bearer',
      expires_in: LIFE,
      expires_at: seconds() + LIFE,
      refresh_token: randomUUID(),
      user: { id: IDS[name], aud: 'authenticated', email: `${name}@example.test`, user_metadata: { bio } },
    });
  }

  const server = await serve(async (request, response) => {
    const url = new URL(request.url, 'http://app');
    if (url.pathname.endsWith('/jwks.json')) return response.end(JSON.stringify({ keys: jwks }));
    const client = createServerClient(PROJECT, 'e2e-anon-key', {
      cookies: {
        getAll: () => parseCookieHeader(request.headers.cookie ?? ''),
        setAll: (cookies) => {
          const lines = cookies.map(({ name, value, options }) => serializeCookieHeader(name, value, options));
          response.appendHeader('set-cookie', lines);
        },
      },
      global: { fetch: (target, init) => service(new URL(target), init) },
      // Its realtime client asks for a WebSocket when it is made, and Node 20 has none; none is opened.
      realtime: { transport: class {} },
    });
    if (url.pathname === '/sign-in') {
      const email = `${url.searchParams.get('as')}@example.test`;
      const { error } = await client.auth.signInWithPassword({ email, password: 'p' });
      response.statusCode = error ? 500 : 200;
      return response.end(error?.message);
    }
    await client.auth.signOut();
    return response.end();
  });
  return { ...server, accessToken, sign };
}

/** The cookie as the library writes it around an access token, which alone is trusted. */
const wrapped = (token) => {
  const session = { access_token: token, refresh_token: 'r', token_type: 'bearer', expires_at: seconds() + LIFE, user: {} };
  return `${NAME}=base64-${Buffer.from(JSON.stringify(session)).toString('base64url')}`;
};

async function keysFor(alg) {
  if (alg === 'HS256') return { alg, key: new TextEncoder().encode(HS256_SECRET), jwks: [] };
  const { privateKey, publicKey } = await generateKeyPair(alg);
  return { alg, key: privateKey, jwks: [{ ...(await exportJWK(publicKey)), kid: 'e2e-1', alg, use: 'sig' }] };
}

for (const alg of ['ES256', 'HS256']) {
  describe(`a project that signs with ${alg}`, () => {
    let project;
    let sessions;
    before(async () => {
      project = await startProject(await keysFor(alg));
      const keys =
        alg === 'HS256'
          ? { secrets: [{ env: 'SUPABASE_JWT_SECRET' }] }
          : { jwks_url: `${project.origin}/auth/v1/.well-known/jwks.json` };
      sessions = await startSessions(
        [{ kind: 'supabase', project_url: PROJECT, algorithms: [alg], ...keys }],
        { SUPABASE_JWT_SECRET: HS256_SECRET },
      );
    });
    after(async () => {
      await sessions?.stop();
      await project?.stop();
    });
    afterEach(() => sessions.assertClean());

    async function signIn(name, bio = '') {
      const browser = new Browser(project.origin);
      const answer = await browser.open(`/sign-in?as=${name}${bio && `%2B${bio}`}`);
      assert.equal(answer.status, 200, await answer.text());
      return { browser, cookie: browser.cookie, user: IDS[name], tier: TIERS[name] };
    }

    test('a signed-in user is served, with the tier of app_metadata', async () => {
      const ada = await signIn('ada');
      assert.deepEqual(ada.browser.jar.names(), [NAME]);
      await sessions.served(ada.cookie, ada);
    });

    test('a large session in chunks is served, and not without one of them', async () => {
      const big = await signIn('ada', '6000');
      assert.ok(big.browser.jar.names().includes(`${NAME}.2`), big.browser.jar.names().join());
      await sessions.served(big.cookie, big);
      const pairs = big.cookie.split('; ');
      await sessions.refused(pairs.filter((pair) => !pair.startsWith(`${NAME}.0=`)).join('; '), 'session_missing');
    });

    test('two users are never mixed', async () => sessions.neverMixed([await signIn('ada'), await signIn('grace')]));

    test('a changed access token is refused, whatever stands around it', async () => {
      const token = await project.accessToken('ada');
      await sessions.served(wrapped(token), { user: IDS.ada, tier: 'pro' });
      const [head, , signature] = token.split('.');
      const claims = { ...JSON.parse(Buffer.from(token.split('.')[1], 'base64url')), sub: IDS.grace };
      const forged = [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
      await sessions.refused(wrapped(forged));
      await sessions.refused(tampered((await signIn('ada')).cookie, NAME));
    });

    test('an expired access token is expired', async () => {
      await sessions.refused(wrapped(await project.accessToken('ada', { exp: seconds() - 60 })), 'session_expired');
      await sessions.refused((await signIn('ada')).cookie, 'session_expired', seconds() + LIFE + 60);
    });

    test('the public anon key, which the same secret signs, is nobody’s session', async () => {
      const anon = await project.sign({ iss: 'supabase', ref: 'e2eproject', role: 'anon', iat: seconds(), exp: seconds() + LIFE });
      await sessions.refused(wrapped(anon));
      await sessions.refused(wrapped(await project.accessToken('ada', { aud: 'anon' })));
    });

    test('after sign-out the browser has no session', async () => {
      const { browser } = await signIn('ada');
      await browser.open('/sign-out');
      await sessions.refused(browser.cookie, 'session_missing');
    });
  });
}
