// An identity provider as far as the gateway knows one: a JWKS at a URL, and tokens by jose. It can
// go away and come back at the same port, and rotate its keys.
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { freePort } from './programs.mjs';
import { serve } from './sessions.mjs';

export const ISSUER = 'https://issuer.example/';
export const AUDIENCE = 'https://api.example';

export class Issuer {
  keys = new Map();
  /** How often its keys were asked for. */
  asked = 0;

  /** An issuer that is not there yet, with one key of each algorithm. */
  static async prepare(algorithms) {
    const issuer = new Issuer();
    issuer.port = await freePort();
    issuer.jwksUrl = `http://127.0.0.1:${issuer.port}/.well-known/jwks.json`;
    for (const alg of algorithms) await issuer.addKey(alg);
    return issuer;
  }

  static async start(algorithms) {
    const issuer = await Issuer.prepare(algorithms);
    await issuer.open();
    return issuer;
  }

  async addKey(alg, kid = `${alg}-1`) {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    this.keys.set(kid, { alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } });
  }

  async open() {
    this.server = await serve((_request, response) => {
      this.asked += 1;
      const body = JSON.stringify({ keys: [...this.keys.values()].map(({ jwk }) => jwk) });
      response.setHeader('content-type', 'application/json');
      response.end(body);
    }, this.port);
  }

  async stop() {
    await this.server?.stop();
    this.server = undefined;
  }

  /** A token for `claims`, signed by the key `kid`; `life` in seconds. */
  sign(claims, { kid = [...this.keys.keys()][0], life = 3_600 } = {}) {
    const { alg, privateKey } = this.keys.get(kid);
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ iss: ISSUER, aud: AUDIENCE, iat: now, exp: now + life, ...claims })
      .setProtectedHeader({ alg, kid, typ: 'JWT' })
      .sign(privateKey);
  }
}
