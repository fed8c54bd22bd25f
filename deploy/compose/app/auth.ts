// Sign-in by Auth.js v5. The session is an encrypted cookie that only this app and the gateway can
// read, since both have AUTH_SECRET. The gateway takes three claims from it: sub, tier and sid.
import NextAuth, { type NextAuthConfig } from "next-auth";
import Credentials from "next-auth/providers/credentials";
import { authenticate } from "@/lib/accounts";
import { tierOf } from "@/lib/tiers";

const { AUTH_OIDC_ISSUER: issuer, AUTH_OIDC_ID: clientId, AUTH_OIDC_SECRET: clientSecret } = process.env;

/** Whether an OpenID Connect provider is configured. */
export const hasOidc = Boolean(issuer && clientId && clientSecret);

const providers: NextAuthConfig["providers"] = [
  Credentials({
    credentials: { email: { type: "email" }, password: { type: "password" } },
    authorize: ({ email, password }) => authenticate(email, password),
  }),
];
if (hasOidc) {
  const authorization = { params: { scope: "openid email profile", prompt: "login" } };
  providers.push({ id: "oidc", name: "Example ID", type: "oidc", issuer, clientId, clientSecret, authorization });
}

export const { handlers, auth, signIn, signOut } = NextAuth({
  providers,
  session: { strategy: "jwt" },
  pages: { signIn: "/sign-in", error: "/sign-in" },
  callbacks: {
    jwt({ token, account, trigger }) {
      if (account) {
        // The provider's own id of the account. Without a database Auth.js makes up a new `sub` at
        // each sign-in with OAuth, and the user's threads and budget would start over.
        token.sub = `${account.provider}:${account.providerAccountId}`;
        token.sid ??= crypto.randomUUID();
      }
      // At sign-in, and when the page calls `update()`. What the page sends along is not looked at:
      // the tier comes from this server's own record.
      if (token.sub && (account || trigger === "update")) token.tier = tierOf(token.sub);
      return token;
    },
    session({ session, token }) {
      session.user.id = token.sub ?? "";
      session.user.tier = token.tier ?? "free";
      return session;
    },
  },
});
