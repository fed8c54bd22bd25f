// Vectors of session cookies: what the gateway must be configured with for one, and whether what it
// said of the cookie is right. The file's own words for levels and fields stand in its `levels` and
// `notes`.
import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';

/** Our kind for each of the file's that has another name, or that proves less than a session. */
const KINDS = {
  'jwt-jwks': 'signed',
  'better-auth-token': 'better-auth',
};

/** Kinds whose cookie holds no user: without a `url`, the gateway can only say that it is authentic. */
const OPAQUE = new Set(['better-auth-token', 'express-session']);

/** The host in a Clerk publishable key. */
const clerkIssuer = (key) => `https://${Buffer.from(key.split('_')[2] ?? '', 'base64').toString().replace(/\$$/, '')}`;

/** What a preset already knows from these settings, in the file's words. */
function presetOf({ kind, config }) {
  if (kind === 'clerk' && config.publishable_key) {
    return { cookie_name: '__session', issuer: clerkIssuer(config.publishable_key), clock_tolerance: 5 };
  }
  if (kind === 'firebase' && config.project_id) {
    const issuer = `https://session.firebase.google.com/${config.project_id}`;
    return { issuer, audience: config.project_id, clock_tolerance: 0 };
  }
  if (kind === 'supabase' && config.supabase_url) {
    const { hostname, origin } = new URL(config.supabase_url);
    const name = `sb-${hostname.split('.')[0]}-auth-token`;
    return { cookie_name: name, issuer: `${origin}/auth/v1`, audience: 'authenticated', clock_tolerance: 0 };
  }
  return {};
}

/**
 * The provider and the environment for a vector; key files go to `directory`. Secrets are
 * variables. What the preset knows is not repeated, so that the preset itself is tested.
 */
export async function providerOf(vector, directory) {
  const { kind, config } = vector;
  const preset = presetOf(vector);
  const own = Object.fromEntries(Object.entries(config).filter(([key, given]) => preset[key] !== given));
  const env = {};
  const secret = (text) => {
    const name = `VECTOR_SECRET_${Object.keys(env).length}`;
    env[name] = text;
    return { env: name };
  };
  const secrets = [config.secrets ?? [], config.hs256_secret ?? []].flat();
  const provider = {
    kind: KINDS[kind] ?? kind,
    cookie_names: own.cookie_name && [own.cookie_name],
    token_cookie_names: own.token_cookie_name && [own.token_cookie_name],
    strategy: own.strategy,
    secrets: secrets.length > 0 ? secrets.map(secret) : undefined,
    passwords:
      own.passwords &&
      Object.fromEntries(Object.entries(own.passwords).map(([id, text]) => [id, secret(text)])),
    project_id: own.project_id,
    project_url: own.supabase_url,
    publishable_key: own.publishable_key,
    authorized_parties: own.authorized_parties,
    issuer: own.issuer,
    audience: own.audience,
    algorithms: own.algorithms,
    clock_tolerance: own.clock_tolerance === undefined ? undefined : `${own.clock_tolerance}s`,
    user_claim: own.user_claim,
    tier_claim: own.tier_claim,
    session_claim: own.sid_claim,
  };
  if (config.jwks) {
    provider.jwks_file = join(directory, 'jwks.json');
    await writeFile(provider.jwks_file, JSON.stringify(config.jwks));
  } else if (config.pem) {
    provider.pem_file = join(directory, 'key.pem');
    await writeFile(provider.pem_file, config.pem);
  }
  return { provider, env };
}

/** What is piped to `inspect`: one line for each Cookie field. */
export const cookieLines = ({ cookie_header: line, cookie_headers: lines }) => (lines ?? [line]).join('\n');

/** What is wrong with `answer` (and its exit code) for this vector; undefined where nothing is. */
export function difference(vector, code, answer) {
  const { expect, level, kind } = vector;
  if (code !== (answer.ok ? 0 : 1)) return `exit code ${code} with ok ${answer.ok}`;
  if (!answer.ok) {
    if (typeof answer.code !== 'string' || !answer.reason) return 'a refusal without code or reason';
    const may = level === 'any' || !expect.ok || vector.accept_alt !== undefined;
    return may ? undefined : `refused: ${answer.code}: ${answer.reason}`;
  }
  if (!expect.ok) return level === 'any' ? undefined : `accepted; expected: ${expect.reason}`;
  const found = { user_id: answer.user_id, tier: answer.tier ?? null, exp: answer.expires_at ?? null };
  const wanted = { user_id: expect.user_id, tier: expect.tier ?? null, exp: expect.exp ?? null };
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    return `${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`;
  }
  if (OPAQUE.has(kind) && answer.needs !== 'lookup') return `needs ${answer.needs} instead of lookup`;
  return undefined;
}
