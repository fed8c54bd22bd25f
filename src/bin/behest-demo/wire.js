// The panel beside the chat: what the browser sent, what Behest received, and the counters.
//
// Everything it shows was redacted by the demo's server: no token, key or cookie value arrives here.

const $ = (id) => document.getElementById(id);
const TAGS = { removed: "removed", added: "set by the gateway", replaced: "replaced", same: "" };

/** Fetches and shows the exchange with this request id; returns it. */
export async function showExchange(id) {
  const response = await fetch(`/demo/last?id=${encodeURIComponent(id)}`);
  if (!response.ok) return null;
  const seen = await response.json();
  showCounters(seen.counters, seen.added_us);
  showPanels(seen);
  return seen;
}

/** The path of a request: idle, live, or refused before Behest. */
export function showFlow(state) {
  $("flow").dataset.state = state;
}

/** What page scripts can read, asked of the browser itself. */
export function showProof() {
  const entries = (count) => (count === 0 ? "empty" : `${count} entries`);
  $("proof-cookie").textContent = document.cookie === "" ? "empty" : "not empty";
  $("proof-local").textContent = entries(localStorage.length);
  $("proof-session").textContent = entries(sessionStorage.length);
}

function showCounters(counters, addedMicros) {
  $("count-requests").textContent = counters.requests;
  $("count-minted").textContent = counters.minted;
  $("count-reused").textContent = counters.reused;
  $("count-added").textContent = duration(addedMicros);
}

function duration(micros) {
  if (micros == null) return "–";
  return micros < 1000 ? `${Math.round(micros)} µs` : `${(micros / 1000).toFixed(1)} ms`;
}

function showPanels(seen) {
  const rows = [{ header: "request", sent: seen.sent_line, received: seen.received_line, change: "same" }, ...seen.rows];
  for (const side of ["sent", "received"]) {
    const panel = $(side);
    panel.style.setProperty("--rows", String(rows.length + 1));
    const made = rows
      .filter((row) => side === "sent" || seen.received_line)
      .map((row) => rowOf(row, side, side === "received" ? seen.claims : null));
    panel.replaceChildren(panel.querySelector("h3"), ...made);
    if (made.length === 0) panel.append(text("p", "empty", "Nothing. The gateway answered by itself, and Behest never saw this request."));
  }
  const others = rows.filter((row) => row.other).length;
  $("more-headers").hidden = others === 0;
  $("more-headers").dataset.count = others;
  showMore($("exchange").dataset.more === "true");
  showNote(seen);
}

function rowOf(row, side, claims) {
  const value = row[side];
  const made = text("div", row.other ? "row other" : "row");
  made.dataset.header = row.header;
  made.dataset.change = row.change;
  const name = text("div", "name", row.header);
  const tag = TAGS[row.change];
  if (tag && side === "received") name.append(text("span", "tag", tag));
  made.append(name);
  const absent = side === "sent" ? "not sent" : "not here";
  made.append(value == null ? text("div", "value absent", absent) : text("div", "value", value));
  if (row.header === "authorization" && claims) made.append(claimList(claims));
  return made;
}

function claimList(claims) {
  const list = text("dl", "claims");
  for (const [name, value] of claims) {
    list.append(text("dt", "", name), text("dd", "", name === "exp" ? expiry(value) : String(value)));
  }
  list.setAttribute("aria-label", "Claims of the token that Behest received");
  return list;
}

function expiry(seconds) {
  const at = new Date(seconds * 1000);
  const left = Math.max(0, Math.round((at - Date.now()) / 60000));
  return `${at.toLocaleTimeString()} (in ${left} min)`;
}

function showNote(seen) {
  const note = $("exchange-note");
  note.hidden = false;
  if (seen.disconnect_ms != null) {
    note.dataset.kind = "good";
    note.textContent = `You stopped it: Behest saw the disconnect ${seen.disconnect_ms} ms after the browser left, and stops billing.`;
  } else if (!seen.received_line && seen.status) {
    note.dataset.kind = "bad";
    note.textContent = `The gateway answered ${seen.status}${seen.code ? ` ${seen.code}` : ""} itself: nothing was forwarded.`;
  } else {
    note.hidden = true;
  }
  showFlow(!seen.received_line && seen.status ? "refused" : seen.done ? "idle" : "live");
}

function showMore(more) {
  const button = $("more-headers");
  $("exchange").dataset.more = String(more);
  button.setAttribute("aria-expanded", String(more));
  button.textContent = more ? "Show less" : `Show ${button.dataset.count} more`;
}

function text(tag, className, content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

$("more-headers").addEventListener("click", () => showMore($("exchange").dataset.more !== "true"));
