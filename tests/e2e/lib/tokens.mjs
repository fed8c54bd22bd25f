// Judges a token by node's own cryptography, so that neither the gateway's nor the emulator's is
// trusted about its signature.
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';

/** Asserts that `token` is RS256, valid now, and signed by the key of `jwks` that its `kid` names. */
export function assertSignedBy(token, jwks) {
  const [head, body, signature] = token.split('.');
  const { alg, kid } = JSON.parse(Buffer.from(head, 'base64url'));
  assert.equal(alg, 'RS256');
  const jwk = jwks.keys.find((key) => key.kid === kid);
  assert.ok(jwk, `the kid ${kid} is published`);
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const signed = Buffer.from(`${head}.${body}`);
  assert.ok(verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64url')), 'the signature is good');
  const { iat, nbf, exp } = JSON.parse(Buffer.from(body, 'base64url'));
  const now = Date.now() / 1000;
  assert.ok(iat <= now && nbf <= now && now < exp, 'it is valid now');
}

/** A tenant's key pair, the private half packed as `BEHEST_KEY` in one of the accepted forms. */
export function tenantKey(kid) {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  const pkcs1 = privateKey.export({ type: 'pkcs1', format: 'der' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  return {
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }),
    jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' }] },
    packings: {
      'base64 of PKCS#8': `behest_pk_${pkcs8.toString('base64')}`,
      'base64url of PKCS#1': `behest_pk_${pkcs1.toString('base64url')}`,
      'base64 of a PEM': `behest_pk_${Buffer.from(pem).toString('base64')}`,
      'a PEM': `behest_pk_${pem}`,
      'a PEM with escaped line breaks': `behest_pk_${pem.replaceAll('\n', '\\n')}`,
    },
  };
}
