import type { DefaultSession } from "next-auth";
import type { Tier } from "@/lib/tiers";

declare module "next-auth" {
  interface Session {
    user: { id: string; tier: Tier } & DefaultSession["user"];
  }
}

declare module "@auth/core/jwt" {
  interface JWT {
    /** One browser session: the gateway names Behest's memory by it. */
    sid?: string;
    tier?: Tier;
  }
}
