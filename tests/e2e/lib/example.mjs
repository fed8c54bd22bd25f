// The example app as `deploy/compose` runs it: browser → gateway → app, gateway → wiretap → emulator,
// and an OpenID Connect provider, each on a loopback port. Browsers know the gateway's origin alone.
//
// `make` puts the built app, and the provider, under target/e2e; nothing is built here.
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SECRET } from './cookies.mjs';
import { Emulator } from './emulator.mjs';
import { ARTIFACTS, freePort, startProgram } from './programs.mjs';
import { appEnv, KEY } from './stack.mjs';
import { startTap } from './tap.mjs';

/** The app's sources, installed and built; and the provider, installed. */
const APP = join(ARTIFACTS, 'app');
const OIDC = join(ARTIFACTS, 'oidc');
const OIDC_CLIENT = { id: 'parley', secret: 'a secret that the app and its provider share' };

/** What the gateway answers the page's request for a token at. */
export const TOKEN_PATH = '/api/behest/token';

/** A copy of the app's sources, to be changed while `next dev` runs; gone after `stop`. */
async function workingCopy() {
  await mkdir(ARTIFACTS, { recursive: true });
  const root = await mkdtemp(join(ARTIFACTS, 'app-dev-'));
  const remove = () => rm(root, { recursive: true, force: true });
  try {
    const source = (path) => !path.includes('/.next') && !path.includes('/node_modules');
    await cp(APP, root, { recursive: true, filter: (path) => source(path.slice(APP.length)) });
    // Linked, since it has 400 MB, and as real directories, since Next.js follows no links out of its root.
    await promisify(execFile)('cp', ['-al', join(APP, 'node_modules'), join(root, 'node_modules')]);
  } catch (error) {
    await remove();
    throw error;
  }
  return { root, remove };
}

/** How the app is started: as its image does, or for developing. */
const served = (port) => ({
  name: process.execPath,
  args: ['server.js'],
  cwd: join(APP, '.next/standalone'),
  env: { NODE_ENV: 'production', PORT: String(port), HOSTNAME: '127.0.0.1' },
});
const developed = (port, root) => ({
  name: process.execPath,
  args: [join(root, 'node_modules/next/dist/bin/next'), 'dev', '--hostname', '127.0.0.1', '--port', String(port)],
  cwd: root,
  group: true,
  env: { NODE_ENV: 'development' },
});

/**
 * Starts everything. `dev`: `next dev` on a copy of the sources, at `root`, instead of the built app.
 * `stop` ends what was started, the last first.
 */
export async function startExample({ dev = false } = {}) {
  const stops = [];
  const started = async (thing, stop = () => thing.stop()) => (stops.unshift(stop), thing);
  const stop = async () => {
    for (const end of stops.splice(0)) await end();
  };
  try {
    const emulator = await started(await Emulator.start({ key: KEY }));
    const tap = await started(await startTap(emulator.port));
    const appPort = await freePort();
    const { program: gateway, origin } = await startFront(tap.origin, `http://127.0.0.1:${appPort}`);
    await started(gateway);
    const issuer = await startOidc(origin);
    await started(issuer.program);
    const copy = dev && (await workingCopy());
    if (copy) await started(copy, copy.remove);
    const { env, ...how } = dev ? developed(appPort, copy.root) : served(appPort);
    const app = await startProgram(async () => ({
      ...how,
      env: { ...env, ...authEnv(origin, issuer.origin), NEXT_TELEMETRY_DISABLED: '1' },
      readyUrl: `http://127.0.0.1:${appPort}/api/auth/csrf`,
    }), 1);
    await started(app);
    return { emulator, tap, gateway, app, origin, issuer: issuer.origin, root: copy?.root, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The gateway before the app at `app`; its public origin names localhost, as AUTH_URL does. */
async function startFront(upstream, app) {
  let origin;
  const program = await startProgram(async (port) => {
    const [listen, admin] = [await port(), await port()];
    origin = `http://localhost:${listen}`;
    return {
      name: 'behest-gateway',
      env: appEnv({
        BEHEST_BASE_URL: upstream,
        GATEWAY_LISTEN: `127.0.0.1:${listen}`,
        GATEWAY_ADMIN_LISTEN: `127.0.0.1:${admin}`,
        GATEWAY_PUBLIC_ORIGIN: origin,
        GATEWAY_APP_URL: app,
        GATEWAY_COMPAT__TOKEN_PATH: TOKEN_PATH,
        RUST_LOG: 'info',
      }),
      readyUrl: `http://127.0.0.1:${admin}/readyz`,
    };
  });
  return { program, origin };
}

async function startOidc(appOrigin) {
  let origin;
  const program = await startProgram(async (port) => {
    origin = `http://localhost:${await port()}`;
    return {
      name: process.execPath,
      args: ['server.mjs'],
      cwd: OIDC,
      env: {
        OIDC_ISSUER: origin,
        OIDC_CLIENT_ID: OIDC_CLIENT.id,
        OIDC_CLIENT_SECRET: OIDC_CLIENT.secret,
        OIDC_REDIRECT_URI: `${appOrigin}/api/auth/callback/oidc`,
      },
      readyUrl: `${origin}/healthz`,
    };
  });
  return { program, origin };
}

/** The app's own settings. It has no Behest key. */
const authEnv = (origin, issuer) => ({
  AUTH_SECRET: SECRET,
  AUTH_URL: origin,
  AUTH_TRUST_HOST: 'true',
  AUTH_OIDC_ISSUER: issuer,
  AUTH_OIDC_ID: OIDC_CLIENT.id,
  AUTH_OIDC_SECRET: OIDC_CLIENT.secret,
});
