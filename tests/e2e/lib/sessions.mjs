// The chain with given session providers, a browser that signs in to an app, and what every provider
// is held to: a cookie that is served must name the right user everywhere, and one that is not must
// be refused both by the request path and by `inspect`.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { Jar } from './cookies.mjs';
import { appEnv, inspect, startStack } from './stack.mjs';
import { withProviders } from './toml.mjs';

/** How long one call may take, whatever it calls. */
const CALL_LIMIT_MS = 20_000;

/** Emulator, wiretap and a gateway with these providers; the app's own variables only as in `env`. */
export async function startSessions(providers, env = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'behest-e2e-'));
  const config = join(directory, 'gateway.toml');
  await writeFile(config, withProviders(providers));
  const settings = { AUTH_SECRET: undefined, GATEWAY_CONFIG: config, ...env };
  try {
    return new Sessions(await startStack({ gateway: settings }), directory, settings);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

class Sessions {
  constructor(stack, directory, settings) {
    Object.assign(this, { stack, directory, settings });
  }

  /** One completion with this Cookie header; the user, tier and session id that Behest was told. */
  async ask(cookie, headers = {}) {
    const mark = randomUUID();
    const answer = await fetch(`${this.stack.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(cookie && { cookie }), ...headers },
      body: JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: mark }] }),
      signal: AbortSignal.timeout(CALL_LIMIT_MS),
    });
    const body = await answer.json();
    const call = this.stack.tap.calls.find((seen) => seen.body.includes(mark));
    const { uid, tier = null } = call?.token.claims ?? {};
    return {
      status: answer.status,
      code: body.error?.code,
      retryAfter: answer.headers.get('retry-after'),
      user: uid,
      tier: call && tier,
      sessionId: call?.header('x-session-id'),
      setCookie: answer.headers.getSetCookie(),
    };
  }

  /** `behest-gateway inspect` with the very settings of the running gateway. */
  inspect(cookie, at) {
    return inspect(cookie, { env: appEnv(this.settings), at });
  }

  /** Asserts that this Cookie header is served as this user and tier, and that `inspect` says so too. */
  async served(cookie, { user, tier }) {
    const asked = await this.ask(cookie);
    assert.deepEqual([asked.status, asked.code], [200, undefined]);
    assert.deepEqual({ user: asked.user, tier: asked.tier }, { user, tier });
    assert.deepEqual(asked.setCookie, []);
    const { code, answer } = await this.inspect(cookie);
    assert.equal(code, 0, JSON.stringify(answer));
    assert.deepEqual(
      { ok: answer.ok, user_id: answer.user_id, tier: answer.tier, session_id: answer.session_id },
      { ok: true, user_id: user, tier, session_id: asked.sessionId },
    );
    return asked;
  }

  /** Asserts that this Cookie header is refused with this code, here and by `inspect`, and Behest asked nothing. */
  async refused(cookie, expected = 'session_invalid', at = undefined) {
    if (at === undefined) {
      const { status, code, user } = await this.ask(cookie);
      assert.deepEqual([status, code, user], [401, expected, undefined]);
    }
    const { code, answer, stdout } = await this.inspect(cookie, at);
    assert.deepEqual([code, answer.ok, answer.code], [1, false, expected], JSON.stringify(answer));
    for (const pair of cookie.split('; ')) {
      const value = pair.slice(pair.indexOf('=') + 1);
      assert.ok(value.length < 20 || !stdout.includes(value), 'inspect shows no cookie');
    }
  }

  /** Asserts that, asked in turns and at once, each of these cookies is served as its own user. */
  async neverMixed(users) {
    const rounds = Array.from({ length: 6 }, () => users).flat();
    const answers = await Promise.all(rounds.map(({ cookie }) => this.ask(cookie)));
    answers.forEach(({ status, user, tier }, i) => {
      const expected = rounds[i];
      assert.deepEqual({ status, user, tier }, { status: 200, user: expected.user, tier: expected.tier });
    });
  }

  /** What every test leaves behind: no request against the contract. */
  async assertClean() {
    assert.deepEqual(await this.stack.emulator.violations(), []);
  }

  async stop() {
    await this.stack.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Serves a Node request handler on a loopback port. */
export async function serve(handler, port = 0) {
  const server = createServer(handler);
  await new Promise((done, failed) => server.once('error', failed).listen(port, '127.0.0.1', done));
  return {
    port: server.address().port,
    origin: `http://127.0.0.1:${server.address().port}`,
    stop: () => {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
}

/** A browser as far as one app is concerned: it keeps the app's cookies and sends them back. */
export class Browser {
  jar = new Jar();

  constructor(origin) {
    this.origin = origin;
  }

  /** A form or JSON post, or a GET without `body`; the answer, whatever its status. */
  async open(path, body, headers = {}) {
    const form = body instanceof URLSearchParams;
    const answer = await fetch(`${this.origin}${path}`, {
      method: body ? 'POST' : 'GET',
      headers: {
        cookie: this.jar.header,
        origin: this.origin,
        ...(body && !form && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: form ? body : body && JSON.stringify(body),
      redirect: 'manual',
      signal: AbortSignal.timeout(CALL_LIMIT_MS),
    });
    return this.jar.keep(answer);
  }

  /** The Cookie header that it sends now. */
  get cookie() {
    return this.jar.header;
  }
}

/** The header with one character changed, well inside the value of `name`. */
export function tampered(cookie, name) {
  const pairs = cookie.split('; ');
  const at = pairs.findIndex((pair) => pair.startsWith(`${name}=`));
  assert.ok(at >= 0, `${name} in ${pairs.map((pair) => pair.split('=')[0])}`);
  const start = name.length + 1;
  const middle = start + Math.floor((pairs[at].length - start) / 2);
  // Neither a separator of some format nor part of a percent-encoded character.
  const place = [...pairs[at]].findIndex((c, i) => i >= middle && /[\w-]/.test(c) && !pairs[at].slice(i - 2, i).includes('%'));
  assert.ok(place > 0, 'there is something to change');
  const other = pairs[at][place] === 'A' ? 'B' : 'A';
  pairs[at] = pairs[at].slice(0, place) + other + pairs[at].slice(place + 1);
  return pairs.join('; ');
}
