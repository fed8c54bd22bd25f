// The whole chain for a test: gateway → wiretap → emulator, each on a loopback port of its own.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { SECRET } from './cookies.mjs';
import { Emulator } from './emulator.mjs';
import { runProgram, startProgram } from './programs.mjs';
import { startTap } from './tap.mjs';

/** An API key in the documented form. */
export const KEY = `behest_sk_live_${randomBytes(16).toString('hex')}`;

/** What an app that moves to the gateway has in its environment already. */
export const appEnv = (more = {}) => ({
  BEHEST_KEY: KEY,
  BEHEST_BASE_URL: 'http://127.0.0.1:9', // nothing listens there: for commands that call nobody
  AUTH_SECRET: SECRET,
  ...more,
});

/** `behest-gateway inspect` on a Cookie header: its exit code and its one JSON object. */
export async function inspect(cookieHeader, { env = appEnv(), at } = {}) {
  const args = at === undefined ? ['inspect'] : ['inspect', '--at', String(at)];
  const { code, stdout, stderr } = await runProgram('behest-gateway', args, env, cookieHeader);
  return { code, stdout, stderr, answer: JSON.parse(stdout) };
}

/** A gateway in front of `upstream` (an origin). */
export async function startGateway(upstream, env = {}) {
  let origin;
  let adminOrigin;
  const program = await startProgram(async (port) => {
    const [listen, admin] = [`127.0.0.1:${await port()}`, `127.0.0.1:${await port()}`];
    [origin, adminOrigin] = [`http://${listen}`, `http://${admin}`];
    return {
      name: 'behest-gateway',
      env: {
        ...appEnv({ BEHEST_BASE_URL: upstream, GATEWAY_LISTEN: listen, GATEWAY_ADMIN_LISTEN: admin }),
        RUST_LOG: 'info',
        ...env,
      },
      readyUrl: `http://${admin}/readyz`,
    };
  });
  return { program, origin, adminOrigin };
}

/** Emulator, wiretap and gateway; `stop` ends them in the other order. */
export async function startStack({ gateway: env = {}, emulator: emulatorOptions = {} } = {}) {
  const emulator = await Emulator.start({ key: KEY, ...emulatorOptions });
  const tap = await startTap(emulator.port);
  const { program, origin, adminOrigin } = await startGateway(tap.origin, env).catch(async (error) => {
    await Promise.all([tap.stop(), emulator.stop()]);
    throw error;
  });
  const stack = {
    emulator,
    tap,
    gateway: program,
    origin,
    adminOrigin,
    /** Puts another gateway in the place of this one: a restart. */
    async restart() {
      await stack.gateway.stop();
      ({ program: stack.gateway, origin: stack.origin, adminOrigin: stack.adminOrigin } = await startGateway(tap.origin, env));
    },
    /** The OpenAI SDK as a page uses it, but for the cookie, which a browser adds by itself. */
    sdk: (cookie, options = {}) =>
      new OpenAI({
        baseURL: `${stack.origin}/v1`,
        apiKey: 'unused',
        maxRetries: 0,
        defaultHeaders: { ...(cookie && { cookie }), ...options.headers },
        ...options.client,
      }),
    async stop() {
      await stack.gateway.stop();
      await tap.stop();
      await emulator.stop();
    },
  };
  return stack;
}

/** A directory that is gone after `use`. */
export async function withDirectory(use) {
  const path = await mkdtemp(join(tmpdir(), 'behest-e2e-'));
  try {
    return await use(path);
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}
