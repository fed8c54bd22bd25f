import { Mark } from "@/components/mark";
import type { Thread } from "@/lib/threads";

type Props = {
  threads: Thread[] | null;
  current: string;
  titles: Record<string, string>;
  onOpen: (id: string) => void;
  onNew: () => void;
  onRemove: (id: string) => void;
};

const when = (seconds: number) =>
  new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(seconds * 1000);

export function ThreadList({ threads, current, titles, onOpen, onNew, onRemove }: Props) {
  return (
    <nav aria-label="Threads">
      <div className="brand"><Mark /> Parley</div>
      <button id="new-thread" className="wide" onClick={onNew}>
        <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M10 4v12M4 10h12" /></svg> New thread
      </button>
      <ul id="threads" aria-busy={threads === null}>
        {threads?.map(({ id, created_at, message_count }) => (
          <li key={id} data-thread={id} data-current={id === current}>
            <button className="thread" aria-current={id === current} onClick={() => onOpen(id)}>
              <strong>{titles[id] ?? when(created_at)}</strong>
              <small>{titles[id] ? when(created_at) : `${message_count ?? 0} messages`}</small>
            </button>
            <button className="icon remove" aria-label="Delete this thread" onClick={() => onRemove(id)}>
              <svg viewBox="0 0 20 20" aria-hidden="true"><path d="m6 6 8 8m0-8-8 8" /></svg>
            </button>
          </li>
        ))}
      </ul>
      {threads?.length === 0 && <p className="empty">Your conversations will be kept here.</p>}
    </nav>
  );
}
