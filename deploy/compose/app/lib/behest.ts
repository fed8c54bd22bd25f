// Behest's client as its guide for apps shows it: the token is fetched from the app's origin, kept
// until 60 seconds before its end, and given to the OpenAI SDK.
//
// With the gateway in front, the gateway itself answers /api/behest/token, and what it answers with
// is a placeholder: the user's real token never leaves the gateway. One line differs from the guide.
import OpenAI from "openai";

type BehestToken = { token: string; ttl: number; sessionId: string; expiresAt: number };

let cached: BehestToken | undefined;

async function behestToken(): Promise<BehestToken> {
  if (cached && Date.now() / 1000 < cached.expiresAt - 60) return cached;
  const response = await fetch("/api/behest/token", { method: "POST" });
  if (!response.ok) throw new TokenError(response.status);
  cached = (await response.json()) as BehestToken;
  return cached;
}

export async function behest(): Promise<OpenAI> {
  const { token, sessionId } = await behestToken();
  return new OpenAI({
    apiKey: token,
    baseURL: `${location.origin}/v1`, // the one changed line; it was "https://your-slug.behest.app/v1"
    dangerouslyAllowBrowser: true,
    defaultHeaders: { "X-Session-Id": sessionId },
  });
}

/** For signing out: the next user of this page fetches a token of their own. */
export function forgetBehest(): void {
  cached = undefined;
}

/** The token could not be had; `status` 401 means that nobody is signed in. */
export class TokenError extends Error {
  constructor(readonly status: number) {
    super(`no token: status ${status}`);
  }
}
