// The operators' page: asks for the token, then for figures every two seconds, and shows them.
import { StackedBars, columns } from '/page/charts.js';
import { byId, short, usd, write } from '/page/format.js';
import * as panels from '/page/panels.js';

const EVERY_MS = 2_000;
/** An answer that takes longer is given up. */
const PATIENCE_MS = 8_000;
const KEY = 'behest-gateway-admin-token';

/** Each range's length, its bars in seconds and by what they are asked, and how often (in turns of 2 s). */
const RANGES = {
  '1h': { from: '-1h', by: 'minute', step: 60, turns: 1 },
  '24h': { from: '-24h', by: 'hour', step: 3_600, turns: 1 },
  '7d': { from: '-7days', by: 'hour', step: 3_600, turns: 3 },
  '30d': { from: '-30days', by: 'day', step: 86_400, turns: 5 },
};

class Refused extends Error {}
class Unset extends Error {}

let token = sessionStorage.getItem(KEY) ?? '';
let asking = new AbortController();
let timer = 0;
let turn = 0;
let isAsking = false;
let lastHeard = '';
const charts = {
  cost: new StackedBars(byId('cost-chart'), byId('cost-legend'), usd),
  tokens: new StackedBars(byId('tokens-chart'), byId('tokens-legend'), short),
};

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

/** Asks the gateway for JSON. */
async function ask(path, signal) {
  const answer = await fetch(path, {
    headers: token ? { authorization: `Bearer ${token}` } : {},
    signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
    referrerPolicy: 'no-referrer',
  });
  if (answer.status === 401) throw new Refused();
  if (answer.status === 404) throw new Unset();
  if (!answer.ok) {
    const told = await answer.json().catch(() => null);
    throw new Error(told?.error?.message ?? `the gateway answers ${answer.status}`);
  }
  return answer.json();
}

/** Which of the three mains is seen. */
function show(id) {
  for (const one of ['gate', 'unset', 'board']) byId(one).hidden = one !== id;
  byId('forget').hidden = id !== 'board';
}

/** The time is apart: it would be read out every two seconds. */
function tell(state, text, time = '') {
  byId('state').dataset.state = state;
  write('state-text', text);
  write('state-time', time);
}

async function refresh() {
  const { signal } = asking;
  if (!token) {
    const { is_set: isSet } = await ask('/page/token', signal);
    show(isSet ? 'gate' : 'unset');
    tell('idle', isSet ? 'Waiting for the token' : 'No token is set');
    if (isSet && document.activeElement === document.body) byId('token').focus();
    return;
  }
  const live = ask('/usage/live', signal);
  const range = RANGES[chosen('range')];
  const split = chosen('split');
  const isTurn = turn % range.turns === 0;
  const reports = isTurn
    ? [`/usage?from=${range.from}&by=${range.by},${split}&limit=50000`, `/usage?from=${range.from}&by=user&limit=8`].map((path) => ask(path, signal))
    : [];
  const [now, series, users] = await Promise.all([live, ...reports]);
  signal.throwIfAborted();
  turn++;
  draw(now, series, users, range.step, split);
}

function draw(now, series, users, step, split) {
  show('board');
  sessionStorage.setItem(KEY, token);
  write('version', now.version);
  panels.live(now.requests);
  panels.budgets(now.budgets, now.now);
  panels.refusals(now.refusals);
  panels.health(now);
  if (series) {
    panels.scope(series, now.store);
    panels.totals(series);
    panels.users(users);
    charts.cost.show({ ...columns(series, (row) => row.cost_usd, step, split), step });
    charts.tokens.show({ ...columns(series, (row) => row.total_tokens, step, split), step });
  }
  lastHeard = now.now.slice(11, 19);
  byId('board').classList.remove('stale');
  tell('live', 'Live', `${lastHeard} UTC`);
}

/** What is said of a failure, and what can be done about it. */
function fail(error) {
  if (error instanceof Refused) {
    const wasOpen = sessionStorage.getItem(KEY) !== null;
    forget();
    show('gate');
    write('token-error', wasOpen ? 'The gateway does not take this token any more.' : 'This is not the gateway’s admin.token.');
    tell('bad', 'Token refused');
    byId('token').focus();
  } else if (error instanceof Unset) {
    forget();
    show('unset');
    tell('idle', 'No token is set');
  } else {
    byId('board').classList.add('stale');
    const isGone = error instanceof TypeError || error.name === 'TimeoutError';
    const what = isGone ? 'The gateway does not answer' : error.message;
    tell('bad', lastHeard ? `${what}; figures of ${lastHeard} UTC. Trying again.` : `${what}. Trying again.`);
  }
}

/** One round of questions, and the next in two seconds; none while nobody looks. */
async function round() {
  clearTimeout(timer);
  if (document.hidden || isAsking) return;
  isAsking = true;
  const mine = asking;
  try {
    await refresh();
  } catch (error) {
    // Given up for another round, which is waiting.
    if (!mine.signal.aborted) fail(error);
  }
  isAsking = false;
  clearTimeout(timer);
  timer = setTimeout(round, mine.signal.aborted ? 0 : EVERY_MS);
}

/** Gives up what is asked, and asks anew at once. */
function restart() {
  turn = 0;
  asking.abort();
  asking = new AbortController();
  round();
}

function forget() {
  token = '';
  lastHeard = '';
  sessionStorage.removeItem(KEY);
  byId('token').value = '';
}

byId('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  token = byId('token').value.trim();
  write('token-error', '');
  // A token is sent as it is: what cannot stand in a header is none.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    token = '';
    write('token-error', 'A token has neither spaces nor letters beyond ASCII.');
    return;
  }
  tell('idle', 'Asking…');
  restart();
});
byId('forget').addEventListener('click', () => {
  forget();
  show('gate');
  restart();
});
for (const id of ['ranges', 'splits']) byId(id).addEventListener('change', restart);
document.addEventListener('visibilitychange', () => {
  if (document.hidden) tell('idle', 'Paused');
  else round();
});
round();
