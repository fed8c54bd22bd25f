// The demo's page: sign-in, and a chat through the real `openai` package that holds no credential.
//
// Ids that tests may rely on: #sign-in-ada, #sign-in-grace, #sign-out, #tier-toggle, #tier, #prompt,
// #send, #stop, #threads, #new-thread, #messages (.message.user, .message.assistant, .message.error
// with data-status and data-code), #status (data-state: signed-out, ready, sending, streaming,
// stopped, error), #sent and #received (.row with data-header and data-change: same, removed, added,
// replaced), #count-requests, #count-minted, #count-reused, #count-added, #exchange-note.
// While an answer streams its bubble has the class `streaming`.

import { APIConnectionError, APIUserAbortError, OpenAI } from "/openai.js";
import { showExchange, showFlow, showProof } from "/wire.js";

const client = new OpenAI({
  baseURL: `${location.origin}/v1`,
  apiKey: "unused",
  dangerouslyAllowBrowser: true,
  maxRetries: 0, // so that a limit shows at once instead of being waited out
});
const MODEL = "behest-demo";
const SUGGESTIONS = ["Who am I, and on which tier?", "What did you receive from my browser?"];

const $ = (id) => document.getElementById(id);
let user = null;
let thread = newId("thread");
let history = [];
let running = null; // the stream's AbortController, and the text that has arrived

function newId(kind) {
  return `${kind}-${crypto.randomUUID()}`;
}

function setStatus(state, text) {
  $("status").dataset.state = state;
  $("status").textContent = text;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// ---- Sign-in -----------------------------------------------------------------------------------

async function callDemo(path, body) {
  const init = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, init);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `The demo answered ${response.status}.`);
  return answer;
}

function showUser(next) {
  user = next;
  document.body.dataset.signedIn = String(Boolean(user));
  $("account").hidden = !user;
  if (user) {
    $("avatar").textContent = user.name[0];
    $("avatar").dataset.user = user.id;
    $("user-name").textContent = user.name;
    $("user-email").textContent = user.email;
    $("tier").textContent = user.tier;
    $("tier-toggle").textContent = `Change tier to ${user.next_tier}`;
    setStatus("ready", `Signed in as ${user.name}, tier ${user.tier}.`);
  } else {
    setStatus("signed-out", "Signed out: the browser holds no session.");
  }
  showProof();
}

async function signIn(id) {
  const answer = await callDemo("/demo/sign-in", { user: id });
  showUser(answer.user);
  startThread();
  $("prompt").focus();
  await listThreads();
}

async function signOut() {
  running?.controller.abort();
  showUser((await callDemo("/demo/sign-out", {})).user);
  startThread();
  $("sign-in-ada").focus();
}

async function changeTier() {
  const answer = await callDemo("/demo/tier", { tier: user.next_tier });
  showUser(answer.user);
  setStatus("ready", `Tier is now ${user.tier}: the cookie was sealed anew, and the next message carries it.`);
}

/** Runs an action; its failure is told in the status line. */
function act(action) {
  return (event) => {
    event?.preventDefault();
    Promise.resolve(action(event)).catch((error) => setStatus("error", error.message));
  };
}

// ---- Threads -----------------------------------------------------------------------------------

function startThread() {
  thread = newId("thread");
  history = [];
  $("messages").replaceChildren(welcome());
  const fresh = [...$("threads").options].find((option) => option.dataset.fresh);
  if (fresh) fresh.value = thread;
  else $("threads").prepend(threadOption(thread, "New thread", true));
  $("threads").value = thread;
}

function threadOption(id, title, fresh) {
  const option = new Option(title, id);
  if (fresh) option.dataset.fresh = "yes";
  return option;
}

async function listThreads() {
  const fresh = threadOption(thread, "New thread", true);
  $("threads").replaceChildren(fresh);
  const page = await client.get("/threads");
  for (const item of page.data ?? page.threads ?? []) {
    if (item.id !== thread) $("threads").append(threadOption(item.id, item.title || `Thread ${item.id.slice(-6)}`));
  }
}

async function openThread() {
  thread = $("threads").value;
  history = [];
  $("messages").replaceChildren();
  const chosen = $("threads").selectedOptions[0];
  if (chosen.dataset.fresh) return startThread();
  const page = await client.get(`/threads/${encodeURIComponent(thread)}/messages`);
  for (const { role, content } of page.data ?? page.messages ?? []) {
    if (role !== "user" && role !== "assistant") continue;
    history.push({ role, content });
    addMessage(role, content);
  }
}

/** The fresh thread exists at Behest once its first message was answered. */
function nameThread(prompt) {
  const option = $("threads").selectedOptions[0];
  if (!option?.dataset.fresh) return;
  delete option.dataset.fresh;
  option.textContent = prompt.length > 28 ? `${prompt.slice(0, 27)}…` : prompt;
}

// ---- Chat --------------------------------------------------------------------------------------

function welcome() {
  const box = element("div", "welcome");
  if (!user) return box;
  box.append(element("strong", "", `Hello, ${user.name.split(" ")[0]}`), "Say something, and watch what leaves the browser and what reaches Behest.");
  const list = element("div", "suggestions");
  for (const text of SUGGESTIONS) {
    const button = element("button", "", text);
    button.type = "button";
    button.addEventListener("click", act(() => send(text)));
    list.append(button);
  }
  box.append(list);
  return box;
}

function addMessage(role, text) {
  $("messages").querySelector(".welcome")?.remove();
  const message = element("article", `message ${role}`);
  message.setAttribute("aria-label", role === "user" ? "You" : role === "error" ? "Error" : "Assistant");
  message.append(element("div", "text", text));
  $("messages").append(message);
  scrollDown();
  return message;
}

function addFooter(message, text) {
  message.append(element("footer", "", text));
  scrollDown();
}

function scrollDown() {
  $("messages").scrollTop = $("messages").scrollHeight;
}

function setRunning(run) {
  running = run;
  $("send").hidden = Boolean(run);
  $("stop").hidden = !run;
  $("new-thread").disabled = $("threads").disabled = $("tier-toggle").disabled = Boolean(run);
}

async function send(text) {
  const prompt = text.trim();
  if (!prompt || running) return;
  const id = newId("demo");
  const run = { controller: new AbortController(), text: "" };
  setRunning(run);
  history.push({ role: "user", content: prompt });
  addMessage("user", prompt);
  $("prompt").value = "";
  setStatus("sending", "Sending…");
  showFlow("live");
  try {
    await stream(id, run, prompt);
  } catch (error) {
    await explain(error, id);
  } finally {
    if (run.text) history.push({ role: "assistant", content: run.text });
    else history.pop();
    setRunning(null);
    if (matchMedia("(pointer: fine)").matches) $("prompt").focus(); // a phone would open its keyboard
    showProof();
  }
}

/** One streamed answer, into its own bubble. */
async function stream(id, run, prompt) {
  const begun = performance.now();
  const { signal } = run.controller;
  let bubble = null;
  let usage = null;
  try {
    const chunks = await client.chat.completions.create(
      { model: MODEL, messages: history, stream: true, stream_options: { include_usage: true } },
      { signal, headers: { "x-request-id": id, "x-thread-id": thread } },
    );
    for await (const chunk of chunks) {
      bubble ??= beginAnswer(id);
      run.text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
      bubble.firstChild.textContent = run.text;
      scrollDown();
    }
    if (signal.aborted) throw new APIUserAbortError();
  } finally {
    bubble?.classList.remove("streaming");
  }
  const took = `${((performance.now() - begun) / 1000).toFixed(1)} s`;
  if (bubble) addFooter(bubble, usage ? `${usage.total_tokens} tokens, ${took}` : took);
  nameThread(prompt);
  setStatus("ready", "Answered.");
  await showExchange(id);
}

function beginAnswer(id) {
  setStatus("streaming", "Streaming…");
  const bubble = addMessage("assistant", "");
  bubble.classList.add("streaming");
  showExchange(id).catch(() => {}); // shown again, whole, when the answer has ended
  return bubble;
}

function stop() {
  running?.controller.abort();
}

// ---- What went wrong ---------------------------------------------------------------------------

async function explain(error, id) {
  if (error instanceof APIUserAbortError) return stopped(id);
  const headers = error.headers;
  const code = headers?.get?.("x-gateway-error") ?? error.code ?? "";
  const byGateway = Boolean(headers?.get?.("x-gateway-error"));
  const wait = Number(headers?.get?.("retry-after")) || 0;
  const said = error.error?.message ?? error.message;
  const [title, advice] = advise(error, code, wait);
  const message = addMessage("error", "");
  message.dataset.status = error.status ?? "";
  message.dataset.code = code;
  if (error.status === 402 || error.status === 429) message.classList.add("limit");
  const head = element("div", "");
  head.append(element("strong", "", title));
  if (error.status) head.append(element("span", "badge", `${error.status} ${code}`));
  const source = byGateway ? "The gateway" : error.status ? "Behest" : "The browser";
  message.firstChild.replaceChildren(head, element("div", "", `${source} says: ${said}`));
  addFooter(message, advice);
  setStatus("error", title);
  await showExchange(id);
}

function advise(error, code, wait) {
  const other = user ? `Change the tier to ${user.next_tier}, and the next message goes by its limits.` : "";
  if (error.status === 401 && code === "session_missing") return ["You are not signed in", "Nothing was minted and nothing reached Behest. Sign in, and send again."];
  if (error.status === 401) return ["Your session is not valid any more", "Sign in again: a session ends with the demo that sealed it."];
  if (error.status === 402) return ["This tier's quota is used up", other];
  if (error.status === 429) return ["Too many requests for this tier", `${wait ? `Try again in ${wait} s. ` : ""}${other}`];
  if (error instanceof APIConnectionError) return ["The demo cannot be reached", "Is the process still running?"];
  if (!error.status) return ["The answer broke off", "The stream ended before its end; nothing is retried by itself."];
  return ["The request failed", ""];
}

/** Waits until Behest has seen the disconnect, and says how long that took. */
async function stopped(id) {
  setStatus("stopped", "Stopped.");
  showFlow("idle");
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const seen = await showExchange(id);
    if (seen?.disconnect_ms != null) {
      const text = `Stopped: Behest saw the disconnect ${seen.disconnect_ms} ms after the browser left.`;
      setStatus("stopped", text);
      const last = [...$("messages").querySelectorAll(".message.assistant")].at(-1);
      if (last && !last.querySelector("footer")) addFooter(last, "Stopped by you");
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// ---- Wiring ------------------------------------------------------------------------------------

for (const id of ["ada", "grace"]) $(`sign-in-${id}`).addEventListener("click", act(() => signIn(id)));
$("sign-out").addEventListener("click", act(signOut));
$("tier-toggle").addEventListener("click", act(changeTier));
$("new-thread").addEventListener("click", act(() => { startThread(); $("prompt").focus(); }));
$("threads").addEventListener("change", act(openThread));
$("stop").addEventListener("click", act(stop));
$("composer").addEventListener("submit", act(() => send($("prompt").value)));
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});

act(async () => {
  showUser((await callDemo("/demo/session")).user);
  startThread();
  if (user) await listThreads();
})();
