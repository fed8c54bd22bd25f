"use server";
// What the chat page may ask of the app's server.
import { auth } from "@/auth";
import { raiseTier, type Tier } from "@/lib/tiers";

/** Raises the tier of whoever is signed in; null where nobody is. Takes nothing from the browser. */
export async function upgrade(): Promise<Tier | null> {
  const session = await auth();
  return session ? raiseTier(session.user.id) : null;
}
