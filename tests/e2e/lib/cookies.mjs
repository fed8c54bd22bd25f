// Session cookies made at test time by the libraries that make them in real apps: @auth/core
// (Auth.js v5) and next-auth 4. Nothing here knows the format; the libraries do.
import { createRequire } from 'node:module';
import { hkdfSync, randomUUID } from 'node:crypto';
import { Auth } from '@auth/core';
import Credentials from '@auth/core/providers/credentials';
import { encode as encodeV5, getToken as getTokenV5 } from '@auth/core/jwt';
import { EncryptJWT } from 'jose';

const require = createRequire(import.meta.url);
const { encode: encodeV4, getToken: getTokenV4 } = require('next-auth-v4/jwt');
const internal = (file) => new URL(`../node_modules/${file}`, import.meta.url).href;
// Neither package exports its chunking, and rewriting it here would test the rewriting.
const { SessionStore: StoreV5 } = await import(internal('@auth/core/lib/utils/cookie.js'));
const { SessionStore: StoreV4 } = (await import(internal('next-auth-v4/core/lib/cookie.js'))).default;
const quiet = { debug() {}, warn() {}, error() {} };

export const SECRET = 'e2e-secret-0-7c1d5a9be24f8036-not-for-production';
export const OLD_SECRET = 'e2e-secret-1-b3f0926d8ac7e514-not-for-production';
export const STRANGER = 'e2e-secret-2-49ae6c72d15b80f3-not-for-production';

export const V5 = 'authjs.session-token';
export const V5_SECURE = '__Secure-authjs.session-token';
export const V4 = 'next-auth.session-token';
export const V4_SECURE = '__Secure-next-auth.session-token';

/** `name=value; name=value`, as a browser sends it. */
export const header = (cookies) => cookies.map(({ name, value }) => `${name}=${value}`).join('; ');

/** Cookies that Auth.js v5 would set for `token`: one, or its chunks. */
export async function v5(token, { secret = SECRET, name = V5, maxAge } = {}) {
  const value = await encodeV5({ token, secret, salt: name, maxAge });
  return new StoreV5({ name, options: {} }, {}, quiet).chunk(value, {});
}

/** Cookies that NextAuth v4 would set for `token`. */
export async function v4(token, { secret = SECRET, name = V4, maxAge } = {}) {
  const value = await encodeV4({ token, secret, maxAge });
  return new StoreV4({ name, options: {} }, { cookies: {} }, quiet).chunk(value, {});
}

/** An Auth.js v5 token under A256GCM: an app's own `encode` may write it, and @auth/core reads it. */
export async function v5Gcm(token, { secret = SECRET, name = V5 } = {}) {
  const key = hkdfSync('sha256', secret, name, `Auth.js Generated Encryption Key (${name})`, 32);
  const value = await new EncryptJWT(token)
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
    .setIssuedAt()
    .setExpirationTime('1h')
    .encrypt(new Uint8Array(key));
  return [{ name, value }];
}

/** What the app itself would read from this Cookie header with its secrets: claims or null. */
export async function appReads(cookieHeader, { name = V5, secret = [SECRET] } = {}) {
  const headers = { cookie: cookieHeader };
  if (!name.includes('next-auth')) {
    return getTokenV5({ req: { headers }, secret, salt: name, cookieName: name, logger: quiet });
  }
  // NextAuth v4 knows one secret, and its cookies arrive parsed.
  const cookies = Object.fromEntries(
    cookieHeader.split('; ').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
  const req = { headers, cookies };
  return getTokenV4({ req, secret: [secret].flat()[0], cookieName: name, logger: quiet });
}

/** A cookie jar that keeps what an app's answers set, as a browser would. */
export class Jar {
  #cookies = new Map();

  keep(response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split('; ');
      const name = pair.slice(0, pair.indexOf('='));
      const ended = attributes.some((attribute) => /^max-age=0$/i.test(attribute));
      if (ended) this.#cookies.delete(name);
      else this.#cookies.set(name, pair.slice(pair.indexOf('=') + 1));
    }
    return response;
  }

  get header() {
    return header([...this.#cookies].map(([name, value]) => ({ name, value })));
  }

  names() {
    return [...this.#cookies.keys()];
  }
}

/** An app on Auth.js v5, served in-process: the real `Auth` answers, with one Credentials provider. */
export class App {
  jar = new Jar();
  users = { ada: { id: 'usr_ada', tier: 'pro' }, grace: { id: 'usr_grace', tier: 'free' } };

  constructor(origin = 'http://localhost') {
    this.origin = origin;
  }

  #config() {
    return {
      basePath: '/auth',
      trustHost: true,
      secret: SECRET,
      logger: quiet,
      providers: [
        Credentials({ credentials: { name: {} }, authorize: ({ name }) => this.users[name] ?? null }),
      ],
      callbacks: {
        jwt: ({ token, user }) => {
          if (user) token.sid ??= randomUUID();
          token.tier = this.users[Object.keys(this.users).find((n) => this.users[n].id === token.sub)]?.tier;
          return token;
        },
      },
    };
  }

  async #ask(path, init = {}) {
    const headers = { cookie: this.jar.header, ...init.headers };
    const request = new Request(`${this.origin}${path}`, { ...init, headers });
    return this.jar.keep(await Auth(request, this.#config()));
  }

  /** Signs in as the browser would: CSRF token first, then the form. */
  async signIn(name) {
    const { csrfToken } = await (await this.#ask('/auth/csrf')).json();
    await this.#ask('/auth/callback/credentials', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ csrfToken, name }),
    });
  }

  /** What a page's `useSession` asks at each focus: the cookie is renewed with new bytes. */
  async roll() {
    return (await this.#ask('/auth/session')).json();
  }

  async signOut() {
    const { csrfToken } = await (await this.#ask('/auth/csrf')).json();
    await this.#ask('/auth/signout', {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ csrfToken }),
    });
  }
}
