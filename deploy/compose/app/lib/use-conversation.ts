"use client";
// The state of the chat page, and what changes it.
import { useEffect, useRef, useState } from "react";
import { APIUserAbortError } from "openai";
import { behest, forgetBehest } from "@/lib/behest";
import { listThreads, type Message, messagesOf, newThreadId, removeThread, type Thread } from "@/lib/threads";
import { type Trouble, troubleOf } from "@/lib/trouble";

export type Shown = Message & { stopped?: boolean };

const TITLE_LENGTH = 48;

export function useConversation() {
  const [threads, setThreads] = useState<Thread[] | null>(null);
  const [titles, setTitles] = useState<Record<string, string>>({});
  const [models, setModels] = useState<string[]>([]);
  const [thread, setThread] = useState("");
  const [messages, setMessages] = useState<Shown[]>([]);
  const [streaming, setStreaming] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const running = useRef<AbortController | null>(null);

  function failed(error: unknown) {
    const trouble = troubleOf(error);
    if (trouble.signIn) forgetBehest();
    setTrouble(trouble);
  }

  const refresh = () => listThreads().then(setThreads, failed);

  useEffect(() => {
    setThread(newThreadId());
    refresh();
    listModels().then(setModels, failed);
    return () => running.current?.abort();
  }, []);

  const entitle = (id: string, messages: Message[]) => {
    const first = messages.find(({ role }) => role === "user")?.content;
    if (first) setTitles((titles) => ({ ...titles, [id]: titles[id] ?? first.slice(0, TITLE_LENGTH) }));
  };

  function begin() {
    running.current?.abort();
    setThread(newThreadId());
    setMessages([]);
    setTrouble(null);
  }

  async function open(id: string) {
    running.current?.abort();
    setThread(id);
    setMessages([]);
    setTrouble(null);
    try {
      const messages = await messagesOf(id);
      setMessages(messages);
      entitle(id, messages);
    } catch (error) {
      failed(error);
    }
  }

  async function remove(id: string) {
    try {
      await removeThread(id);
      if (id === thread) begin();
    } catch (error) {
      failed(error);
    }
    await refresh();
  }

  async function send(text: string, model = models[0]) {
    if (streaming) return;
    const controller = new AbortController();
    running.current = controller;
    const history: Message[] = [...messages.map(({ role, content }) => ({ role, content })), { role: "user", content: text }];
    let answer = "";
    const show = (more?: Partial<Shown>) => {
      if (running.current === controller) setMessages([...history, { role: "assistant", content: answer, ...more }]);
    };
    setMessages(history);
    setTrouble(null);
    setStreaming(true);
    try {
      const client = await behest();
      const stream = await client.chat.completions.create(
        { model, messages: history, stream: true },
        { signal: controller.signal, headers: { "X-Thread-Id": thread } },
      );
      for await (const chunk of stream) {
        answer += chunk.choices[0]?.delta?.content ?? "";
        show();
      }
      if (controller.signal.aborted) show({ stopped: true });
    } catch (error) {
      if (error instanceof APIUserAbortError) show({ stopped: true });
      else failed(error);
    } finally {
      if (running.current === controller) running.current = null;
      setStreaming(false);
    }
    entitle(thread, history);
    await refresh();
  }

  const stop = () => running.current?.abort();

  return { threads, titles, models, thread, messages, streaming, trouble, setTrouble, begin, open, remove, send, stop };
}

/** Models to chat with, the default first. */
async function listModels(): Promise<string[]> {
  const client = await behest();
  const { data } = await client.models.list();
  return data.map(({ id }) => id).filter((id) => !/embed/i.test(id));
}
