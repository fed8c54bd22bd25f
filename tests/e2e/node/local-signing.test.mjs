// Local signing: the tenant's own RSA key behind `behest_pk_`, no mint call at all.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { header, v5 } from '../lib/cookies.mjs';
import { runProgram } from '../lib/programs.mjs';
import { appEnv, startStack } from '../lib/stack.mjs';
import { assertSignedBy, tenantKey } from '../lib/tokens.mjs';

const HELLO = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hello' }] };
const TENANT = { BEHEST_KID: 'kid_e2e', BEHEST_TENANT_ID: 'tnt_e2e', BEHEST_PROJECT_ID: 'prj_e2e' };
const key = tenantKey(TENANT.BEHEST_KID);
const signing = (packing) => ({ ...TENANT, BEHEST_KEY: key.packings[packing] });

describe('a gateway that signs', () => {
  let stack;
  before(async () => {
    stack = await startStack({
      gateway: signing('base64 of PKCS#8'),
      emulator: { trust: { kid: TENANT.BEHEST_KID, pem: key.publicPem }, tenant: 'tnt_e2e', project: 'prj_e2e' },
    });
  });
  after(() => stack?.stop());

  test('is believed by Behest, and mints nothing', async () => {
    const cookie = header(await v5({ sub: 'usr_ada', tier: 2, sid: 'sess_ada' }));
    const answer = await stack.sdk(cookie).chat.completions.create(HELLO);
    assert.ok(answer.choices[0].message.content);
    assert.equal(stack.tap.mints.length, 0);
    const [call] = stack.tap.calls;
    assertSignedBy(call.token.raw, key.jwks);
    const { iss, tid, pid, uid, tier, sid, role, iat, nbf, exp } = call.token.claims;
    assert.deepEqual([iss, tid, pid, uid, tier, role], ['https://api.behest.app', 'tnt_e2e', 'prj_e2e', 'usr_ada', 2, 'user']);
    assert.equal(call.header('x-session-id'), sid);
    assert.ok(iat === nbf && iat <= Date.now() / 1000 - 25, 'set back against clocks that disagree');
    assert.ok(exp - iat <= 900 + 60);
  });

  test('streams as well', async () => {
    const cookie = header(await v5({ sub: 'usr_ada', tier: 'pro' }));
    const stream = await stack.sdk(cookie).chat.completions.create({ ...HELLO, stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
    assert.ok(text.length > 0);
  });
});

describe('the key', { concurrency: 4 }, () => {
  for (const packing of Object.keys(key.packings)) {
    test(`as ${packing} is accepted`, async () => {
      const { code, stdout, stderr } = await runProgram('behest-gateway', ['check'], appEnv(signing(packing)), '');
      assert.equal(code, 0, stdout + stderr);
      assert.ok(!`${stdout}${stderr}`.includes(key.packings[packing].slice(10, 60)), 'the key is not shown');
    });
  }

  test('that is none is refused with the forms that are, and is not echoed', async () => {
    const env = appEnv({ ...TENANT, BEHEST_KEY: 'behest_pk_c2VjcmV0LW5vdC1hLWtleQ==' });
    const { code, stdout, stderr } = await runProgram('behest-gateway', ['check'], env, '');
    assert.equal(code, 2);
    assert.match(stdout + stderr, /PEM/);
    assert.match(stdout + stderr, /PKCS/);
    assert.doesNotMatch(stdout + stderr, /c2VjcmV0LW5vdC1hLWtleQ/);
  });

  test('without its kid, tenant and project is refused, naming all three at once', async () => {
    const env = appEnv({ BEHEST_KEY: key.packings['base64 of PKCS#8'] });
    const { code, stdout, stderr } = await runProgram('behest-gateway', ['check'], env, '');
    assert.equal(code, 2);
    for (const name of Object.keys(TENANT)) assert.match(stdout + stderr, new RegExp(name));
  });
});
