// Every vector of a file (VECTORS, by default the repository's own) through the built program: a
// configuration file made for it, the cookie on standard input, the clock at the vector's time.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'node:test';
import { runProgram } from '../lib/programs.mjs';
import { appEnv, withDirectory } from '../lib/stack.mjs';
import { withProviders } from '../lib/toml.mjs';
import { cookieLines, difference, providerOf } from '../lib/vectors.mjs';

const OWN = fileURLToPath(new URL('../../vectors/session-cookies.json', import.meta.url));
const FILE = process.env.VECTORS ? resolve(process.env.VECTORS) : OWN;
const { vectors } = JSON.parse(readFileSync(FILE, 'utf8'));

/** How many programs run at once, and how long one may take: a debug build on a busy machine. */
const AT_ONCE = 4;
const LIMIT_MS = 30_000;

/** `inspect` on this vector: exit code, and its answer where there is one. */
async function inspectVector(vector, directory) {
  const { provider, env } = await providerOf(vector, directory);
  const config = join(directory, 'gateway.toml');
  await writeFile(config, withProviders([provider]));
  const args = ['inspect', '--config', config, '--at', String(vector.now)];
  const given = appEnv({ AUTH_SECRET: undefined, ...env });
  return runProgram('behest-gateway', args, given, cookieLines(vector), LIMIT_MS);
}

describe(`the ${vectors.length} vectors of ${FILE}`, { concurrency: AT_ONCE }, () => {
  assert.ok(vectors.length > 0, 'the file holds vectors');
  for (const vector of vectors) {
    test(`${vector.level}: ${vector.name}`, () =>
      withDirectory(async (directory) => {
        const { code, stdout, stderr } = await inspectVector(vector, directory);
        assert.ok(code === 0 || code === 1, `exit code ${code}: ${stderr}`);
        assert.equal(difference(vector, code, JSON.parse(stdout)), undefined);
        for (const secret of [vector.config.secrets, vector.config.hs256_secret].flat().filter(Boolean)) {
          assert.ok(!(stdout + stderr).includes(secret), 'it shows no secret');
        }
      }));
  }
});
