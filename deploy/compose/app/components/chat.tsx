"use client";
// The chat: threads at the side, the conversation, and the box to write in.
import { useEffect, useState } from "react";
import { useSession } from "next-auth/react";
import { Account, type User } from "@/components/account";
import { Composer } from "@/components/composer";
import { Conversation } from "@/components/conversation";
import { ThreadList } from "@/components/thread-list";
import { useConversation } from "@/lib/use-conversation";
import { SIGNED_OUT } from "@/lib/trouble";

export function Chat({ user }: { user: User }) {
  const { data: session, status } = useSession();
  const chat = useConversation();
  const [drawer, setDrawer] = useState(false);
  const signedOut = status === "unauthenticated";

  // Another tab may have signed in as someone else: this page must not go on under the old name.
  const now = session?.user.id;
  useEffect(() => {
    if (now !== undefined && now !== user.id) location.reload();
  }, [now, user.id]);

  return (
    <div className="frame" data-drawer={drawer}>
      <aside id="side">
        <ThreadList
          threads={chat.threads}
          current={chat.thread}
          titles={chat.titles}
          onOpen={(id) => (setDrawer(false), chat.open(id))}
          onNew={() => (setDrawer(false), chat.begin())}
          onRemove={chat.remove}
        />
        <Account user={session?.user ?? user} onTrouble={chat.setTrouble} />
      </aside>
      <button className="veil" aria-label="Close the list of threads" onClick={() => setDrawer(false)} />
      <main className="chat">
        <header className="bar">
          <button className="icon menu" aria-label="Threads" aria-expanded={drawer} aria-controls="side" onClick={() => setDrawer(!drawer)}>
            <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M3 6h14M3 10h14M3 14h9" /></svg>
          </button>
          <h1>{chat.titles[chat.thread] ?? (chat.messages.length > 0 ? "Conversation" : "New conversation")}</h1>
          <span className="pill" data-tier={session?.user.tier ?? user.tier}>{session?.user.tier ?? user.tier}</span>
        </header>
        <Conversation
          messages={chat.messages}
          streaming={chat.streaming}
          name={user.name ?? "you"}
          trouble={signedOut ? SIGNED_OUT : chat.trouble}
          onSuggestion={chat.send}
        />
        <Composer models={chat.models} streaming={chat.streaming} onSend={chat.send} onStop={chat.stop} />
      </main>
    </div>
  );
}
