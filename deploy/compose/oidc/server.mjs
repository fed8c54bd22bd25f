// An OpenID Connect provider for trying the example: two accounts, one page to choose between them,
// nothing kept. It asks for no password, so it belongs on loopback or inside Compose and nowhere else.
//
// An account's `sub` is the same at every sign-in; tokens, keys and sessions end with the process.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";
import { accountOf, ACCOUNTS } from "./accounts.mjs";
import { chooserPage } from "./page.mjs";

/** A variable that has no sensible default. */
function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

const issuer = required("OIDC_ISSUER"); // as browsers and the app both reach it
const port = Number(process.env.OIDC_PORT ?? new URL(issuer).port);
const host = process.env.OIDC_HOST ?? "127.0.0.1";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), kid: randomBytes(8).toString("hex"), use: "sig", alg: "RS256" };

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: required("OIDC_CLIENT_ID"),
      client_secret: required("OIDC_CLIENT_SECRET"),
      redirect_uris: required("OIDC_REDIRECT_URI").split(","),
    },
  ],
  jwks: { keys: [key] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"] },
  conformIdTokenClaims: false, // name and email stand in the id_token itself, where Auth.js looks
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_context, { uid }) => `/choose/${uid}` },
  ttl: { Interaction: 600, Session: 3_600, Grant: 3_600, IdToken: 600, AccessToken: 600 },
  findAccount: (_context, sub) => {
    const account = accountOf(sub);
    return account && { accountId: sub, claims: () => ({ ...account, email_verified: true }) };
  },
  // The one client is the app itself, so nobody is asked for consent.
  async loadExistingGrant({ oidc }) {
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
});

/** Shows the accounts, and takes the choice. */
async function choose(request, response, sub) {
  await provider.interactionDetails(request, response); // throws where no sign-in is under way
  const account = accountOf(sub);
  if (account) {
    const result = { login: { accountId: account.sub, remember: false } };
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.setHeader("cache-control", "no-store");
  response.end(chooserPage(ACCOUNTS));
}

const oidc = provider.callback();

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, issuer);
  if (pathname === "/healthz") return response.end("ok\n");
  if (!pathname.startsWith("/choose/")) return oidc(request, response);
  choose(request, response, searchParams.get("account")).catch((error) => {
    response.statusCode = error.status ?? 500;
    response.end(`${error.name}: begin again at the app.\n`);
  });
});

server.listen(port, host, () => console.log(`${issuer} is ready`));
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
