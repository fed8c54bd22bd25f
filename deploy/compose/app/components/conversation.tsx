"use client";
import { useEffect, useRef } from "react";
import { Mark } from "@/components/mark";
import type { Trouble } from "@/lib/trouble";
import type { Shown } from "@/lib/use-conversation";

type Props = {
  messages: Shown[];
  streaming: boolean;
  name: string;
  trouble: Trouble | null;
  onSuggestion: (text: string) => void;
};

const SUGGESTIONS = ["Which tier am I on?", "Tell me about the Analytical Engine", "Write a haiku about cookies"];

export function Conversation({ messages, streaming, name, trouble, onSuggestion }: Props) {
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    end.current?.scrollIntoView({ block: "end" });
  }, [messages, trouble]);
  const waiting = streaming && messages.at(-1)?.role === "user";

  return (
    <section className="scroll" aria-label="Conversation" tabIndex={0}>
      <div id="messages" role="log" aria-live="polite" aria-busy={streaming}>
        {messages.length === 0 && !trouble && (
          <div className="welcome">
            <Mark />
            <h2>Hello, {name.split(" ")[0]}.</h2>
            <p>What shall we talk about?</p>
            <div className="suggestions">
              {SUGGESTIONS.map((text) => <button key={text} onClick={() => onSuggestion(text)}>{text}</button>)}
            </div>
          </div>
        )}
        {messages.map(({ role, content, stopped }, at) => {
          const live = streaming && role === "assistant" && at === messages.length - 1;
          return (
            <article key={at} className="message" data-role={role} data-live={live}>
              {role === "assistant" && <Mark />}
              <div className="text">{content}</div>
              {stopped && <small className="stopped">Stopped</small>}
            </article>
          );
        })}
        {waiting && <article className="message" data-role="waiting" aria-label="Waiting for the answer"><Mark /><i /><i /><i /></article>}
        {trouble && (
          <div id="trouble" className="notice bad" role="alert" data-status={trouble.status} data-code={trouble.code}>
            <p><strong>{trouble.title}</strong> {trouble.text}</p>
            {trouble.signIn && <a className="primary" href="/sign-in">Sign in</a>}
            {trouble.code && <code>{trouble.code}</code>}
          </div>
        )}
        <div ref={end} />
      </div>
    </section>
  );
}
