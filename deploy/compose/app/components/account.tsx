"use client";
// Who is signed in, on which tier, and the two things to do about it.
import { useState } from "react";
import { signOut, useSession } from "next-auth/react";
import { upgrade } from "@/app/actions";
import { forgetBehest } from "@/lib/behest";
import type { Tier } from "@/lib/tiers";
import { SIGNED_OUT, type Trouble } from "@/lib/trouble";

export type User = { id: string; tier: Tier; name?: string | null; email?: string | null };

const OFFER: Record<Tier, string> = { free: "Upgrade to pro", pro: "Upgrade to max", max: "Back to free" };

export function Account({ user, onTrouble }: { user: User; onTrouble: (trouble: Trouble | null) => void }) {
  const { update } = useSession();
  const [busy, setBusy] = useState(false);

  async function raise() {
    setBusy(true);
    try {
      if ((await upgrade()) === null) return onTrouble(SIGNED_OUT);
      // Asks the app to write the session anew. The object is empty, since the app looks the tier up
      // itself; without an object Auth.js would only read the session.
      await update({});
    } catch {
      onTrouble({ title: "The upgrade did not work.", text: "Please try again." });
    } finally {
      setBusy(false);
    }
  }

  async function leave() {
    forgetBehest();
    await signOut({ redirectTo: "/sign-in?left" });
  }

  return (
    <section className="account" aria-label="Account">
      <div className="who">
        <span className="avatar" aria-hidden="true">{(user.name ?? "?").charAt(0)}</span>
        <span>
          <strong id="user-name">{user.name}</strong>
          <small>{user.email}</small>
        </span>
        <span id="tier" className="pill" data-tier={user.tier}>{user.tier}</span>
      </div>
      <div className="row">
        <button id="upgrade" onClick={raise} disabled={busy}>{OFFER[user.tier]}</button>
        <button id="sign-out" onClick={leave}>Sign out</button>
      </div>
    </section>
  );
}
