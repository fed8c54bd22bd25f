// What went wrong, in words for the person in front of the page.
import { APIConnectionError, APIError } from "openai";
import { TokenError } from "@/lib/behest";

export type Trouble = { title: string; text: string; code?: string; status?: number; signIn?: boolean };

export const SIGNED_OUT: Trouble = {
  title: "You are signed out.",
  text: "Your session has ended, here or in another tab. Sign in again to go on.",
  status: 401,
  signIn: true,
};

export function troubleOf(error: unknown): Trouble {
  if (error instanceof TokenError) return ofStatus(error.status);
  if (error instanceof APIConnectionError) {
    return { title: "No connection.", text: "The server cannot be reached. Nothing was lost: send the message again." };
  }
  if (!(error instanceof APIError)) return { title: "Something went wrong.", text: String(error) };
  const code = error.headers?.get("x-gateway-error") ?? error.code ?? undefined;
  const wait = error.headers?.get("retry-after");
  return { ...ofStatus(error.status, wait, error.message), code };
}

function ofStatus(status?: number, wait?: string | null, message?: string): Trouble {
  const again = wait ? `Try again in ${wait} s.` : "Try again in a moment.";
  switch (status) {
    case 401:
      return SIGNED_OUT;
    case 402:
      return { title: "Your budget is used up.", text: "Upgrade for more, or wait for the next period.", status };
    case 403:
      return { title: "That is not allowed.", text: message ?? "The request was refused.", status };
    case 429:
      return { title: "Too fast.", text: again, status };
    case undefined: // told within the stream, after its head
      return { title: "The answer broke off.", text: message ?? again };
    default:
      if (status >= 500) return { title: "The assistant is not available.", text: again, status };
      return { title: "That did not work.", text: message ?? `Status ${status}.`, status };
  }
}
