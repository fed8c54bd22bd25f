// An app on Auth.js v5 with database sessions: the real `Auth` behind a Node server, a magic link as
// the sign-in, and the database in memory.
import { randomUUID } from 'node:crypto';
import { Auth } from '@auth/core';
import { SECRET } from './cookies.mjs';
import { Browser, serve } from './sessions.mjs';

const quiet = { debug() {}, warn() {}, error() {} };

/** An Auth.js adapter over maps: users, their sessions, and what was sent by mail. */
export function memoryAdapter() {
  const users = new Map();
  const sessions = new Map();
  const links = new Map();
  const userOf = (found) => found ?? null;
  return {
    users,
    sessions,
    createUser: (user) => users.set(user.id, user).get(user.id),
    getUser: (id) => userOf(users.get(id)),
    getUserByEmail: (email) => userOf([...users.values()].find((user) => user.email === email)),
    getUserByAccount: () => null,
    updateUser: (user) => users.set(user.id, { ...users.get(user.id), ...user }).get(user.id),
    createSession: (session) => sessions.set(session.sessionToken, session).get(session.sessionToken),
    getSessionAndUser: (token) => {
      const session = sessions.get(token);
      return session ? { session, user: users.get(session.userId) } : null;
    },
    updateSession: (session) => {
      const { sessionToken } = session;
      return sessions.set(sessionToken, { ...sessions.get(sessionToken), ...session }).get(sessionToken);
    },
    deleteSession: (token) => void sessions.delete(token),
    createVerificationToken: (link) => links.set(link.token, link).get(link.token),
    useVerificationToken: ({ token }) => {
      const link = links.get(token);
      links.delete(token);
      return userOf(link);
    },
  };
}

/** The request as Auth.js wants it, with the scheme and host that the browser sees. */
async function asRequest(request) {
  const { 'x-forwarded-proto': proto = 'http', 'x-forwarded-host': host = request.headers.host } = request.headers;
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) headers.set(name, String(value));
  const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
  return new Request(new URL(request.url, `${proto}://${host}`), { method: request.method, headers, body });
}

/** `asked`: the requests for the session so far, each with the names of its cookies. */
export async function startDatabaseApp() {
  const adapter = memoryAdapter();
  const mails = new Map();
  const asked = [];
  const config = {
    basePath: '/api/auth',
    trustHost: true,
    secret: SECRET,
    logger: quiet,
    adapter,
    session: { strategy: 'database' },
    providers: [{
      id: 'email',
      type: 'email',
      name: 'Email',
      from: 'app@example.test',
      maxAge: 600,
      sendVerificationRequest: ({ identifier, url }) => void mails.set(identifier, url),
    }],
    callbacks: {
      // Not `...session`: with a database that would give the page the session token.
      session: ({ session, user }) => ({
        expires: session.expires,
        user: { name: user.name, id: user.id, tier: user.tier },
      }),
    },
  };
  const server = await serve(async (incoming, outgoing) => {
    const request = await asRequest(incoming);
    if (new URL(request.url).pathname === '/api/auth/session') {
      const names = (request.headers.get('cookie') ?? '').split('; ').map((pair) => pair.split('=')[0]);
      asked.push({ names, url: request.url });
    }
    const answer = await Auth(request, config);
    outgoing.statusCode = answer.status;
    for (const [name, value] of answer.headers) if (name !== 'set-cookie') outgoing.setHeader(name, value);
    outgoing.setHeader('set-cookie', answer.headers.getSetCookie());
    outgoing.end(Buffer.from(await answer.arrayBuffer()));
  });

  /** Signs in as a browser would at `origin` (by default the server's own), by the link in the mail. */
  async function signIn(name, tier, forwarded = {}) {
    const browser = new Browser(server.origin);
    const email = `${name}@example.test`;
    adapter.createUser({ id: `usr_${name}_${randomUUID().slice(0, 8)}`, email, name, tier, emailVerified: null });
    const { csrfToken } = await (await browser.open('/api/auth/csrf', undefined, forwarded)).json();
    await browser.open('/api/auth/signin/email', new URLSearchParams({ csrfToken, email }), forwarded);
    const { pathname, search } = new URL(mails.get(email));
    await browser.open(pathname + search, undefined, forwarded);
    const { id } = adapter.getUserByEmail(email);
    return { browser, cookie: browser.cookie, user: id, tier };
  }

  async function signOut({ browser }) {
    const { csrfToken } = await (await browser.open('/api/auth/csrf')).json();
    await browser.open('/api/auth/signout', new URLSearchParams({ csrfToken }));
  }
  return { ...server, adapter, asked, signIn, signOut };
}
