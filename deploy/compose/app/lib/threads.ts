// Behest's threads: conversations that it keeps for a user. A thread begins with the first message
// that names it in X-Thread-Id, and the page chooses its name.
import { behest } from "@/lib/behest";

export type Thread = { id: string; created_at: number; message_count?: number };
export type Message = { role: "user" | "assistant"; content: string };

type List<Item> = { data: Item[] };

export async function listThreads(): Promise<Thread[]> {
  const client = await behest();
  return (await client.get<List<Thread>>("/threads")).data;
}

export async function messagesOf(thread: string): Promise<Message[]> {
  const client = await behest();
  const { data } = await client.get<List<Message>>(`/threads/${thread}/messages`);
  return data.map(({ role, content }) => ({ role, content }));
}

export async function removeThread(thread: string): Promise<void> {
  const client = await behest();
  await client.delete(`/threads/${thread}`);
}

/** A name for a new thread. */
export function newThreadId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `th_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
