"use client";
import { type KeyboardEvent, useState } from "react";

type Props = {
  models: string[];
  streaming: boolean;
  onSend: (text: string, model?: string) => void;
  onStop: () => void;
};

export function Composer({ models, streaming, onSend, onStop }: Props) {
  const [text, setText] = useState("");
  const [model, setModel] = useState<string>();
  const ready = models.length > 0 && !streaming && text.trim() !== "";

  function submit() {
    if (!ready) return;
    onSend(text.trim(), model ?? models[0]);
    setText("");
  }

  function onKey(event: KeyboardEvent) {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    submit();
  }

  return (
    <form className="composer" onSubmit={(event) => (event.preventDefault(), submit())}>
      <div className="box">
        <textarea id="prompt" rows={1} aria-label="Message" placeholder="Ask anything" value={text} onChange={(event) => setText(event.target.value)} onKeyDown={onKey} />
        <div className="tools">
          <select id="model" aria-label="Model" value={model ?? models[0] ?? ""} onChange={(event) => setModel(event.target.value)}>
            {models.length === 0 && <option value="">…</option>}
            {models.map((id) => <option key={id}>{id}</option>)}
          </select>
          {streaming ? (
            <button id="stop" type="button" className="stop" onClick={onStop}>
              <svg viewBox="0 0 20 20" aria-hidden="true"><rect x="5" y="5" width="10" height="10" rx="2" /></svg> Stop
            </button>
          ) : (
            <button id="send" type="submit" className="primary" disabled={!ready}>
              Send <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M10 16V4m-5 5 5-5 5 5" /></svg>
            </button>
          )}
        </div>
      </div>
      <p className="fineprint">Sent by the <code>openai</code> package with your session cookie. This page holds no token.</p>
    </form>
  );
}
