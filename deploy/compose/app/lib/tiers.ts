// What each user has paid for: the app's own record, which browsers cannot write to.
//
// In memory, so a restart puts everyone back on the first tier. A real app asks its database or
// its billing provider here.

export const TIERS = ["free", "pro", "max"] as const;
export type Tier = (typeof TIERS)[number];

// One map for the whole process: the bundler may load this file more than once.
const held = globalThis as { tiersByUser?: Map<string, Tier> };
const tiers = (held.tiersByUser ??= new Map<string, Tier>());

/** The tier of a user, by the id that the session carries. */
export function tierOf(userId: string): Tier {
  return tiers.get(userId) ?? TIERS[0];
}

/** Moves a user one tier up; from the last one back to the first, so that the demo can go on. */
export function raiseTier(userId: string): Tier {
  const next = TIERS[(TIERS.indexOf(tierOf(userId)) + 1) % TIERS.length];
  tiers.set(userId, next);
  return next;
}
