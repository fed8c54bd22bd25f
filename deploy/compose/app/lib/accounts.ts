// The demo's users. A real app has a database here, with hashed passwords.
import { timingSafeEqual } from "node:crypto";

/** Shown on the sign-in page, so it guards nothing. */
export const DEMO_PASSWORD = "lovelace";

export type Account = { id: string; name: string; email: string };

export const ACCOUNTS: Account[] = [
  { id: "ada", name: "Ada Lovelace", email: "ada@example.com" },
  { id: "grace", name: "Grace Hopper", email: "grace@example.com" },
];

/** The account of this email address, if the password is right. */
export function authenticate(email: unknown, password: unknown): Account | null {
  if (typeof email !== "string" || typeof password !== "string") return null;
  const [given, right] = [Buffer.from(password), Buffer.from(DEMO_PASSWORD)];
  if (given.length !== right.length || !timingSafeEqual(given, right)) return null;
  return ACCOUNTS.find((account) => account.email === email.trim().toLowerCase()) ?? null;
}
