import { redirect } from "next/navigation";
import { SessionProvider } from "next-auth/react";
import { auth } from "@/auth";
import { Chat } from "@/components/chat";

export default async function Page() {
  const session = await auth();
  if (!session) redirect("/sign-in");
  return (
    <SessionProvider session={session}>
      <Chat user={session.user} />
    </SessionProvider>
  );
}
