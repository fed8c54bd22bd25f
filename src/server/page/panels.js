// What is shown beside the charts: totals, users, budgets, requests under way, refusals, health.
import { byId, bytes, clipped, count, duration, element, named, percent, short, usd, words, write } from '/page/format.js';

const SVG = 'http://www.w3.org/2000/svg';

/** Rows of the lists. */
const TOP = 8;

/** A share of one as a bar; `level` colours it. */
function bar(share, level = '') {
  const fill = element('i', `fill ${level}`);
  fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return element('span', 'bar', fill);
}

function replace(id, rows, empty) {
  byId(id).replaceChildren(...(rows.length > 0 ? rows : [element('p', 'empty', empty)]));
}

/** Whose sums they are, where replicas share a store; what is under way is always one replica's. */
export function scope(report, store) {
  const shares = store?.kind === 'redis';
  const isAll = report.scope === 'all replicas';
  const whose = isAll ? 'Sums of all replicas' : 'Sums of this replica alone: the shared store does not answer';
  write('scope', shares ? `${whose}. Budgets as this replica saw them; under way, refusals and health are its own.` : '');
}

export function totals({ totals: sums }) {
  write('total-cost', usd(sums.cost_usd));
  write('total-cost-note', sums.unpriced > 0 ? `${count(sums.unpriced)} ${sums.unpriced === 1 ? 'request' : 'requests'} without a price` : '');
  write('total-tokens', short(sums.total_tokens));
  const cached = sums.prompt_tokens > 0 ? `, ${percent(sums.cached_tokens / sums.prompt_tokens)} of it cached` : '';
  write('total-tokens-note', `${short(sums.prompt_tokens)} prompt${cached}, ${short(sums.completion_tokens)} completion`);
  write('total-requests', count(sums.requests));
  write('total-requests-note', sums.refused > 0 ? `${count(sums.refused)} refused` : 'none refused');
  const { known, partial, unknown } = sums.metered;
  const all = known + partial + unknown;
  write('total-known', all > 0 ? percent(known / all) : '–');
  write('total-known-note', all > 0 ? `${count(partial)} broken off, ${count(unknown)} unknown` : 'no answers yet');
}

export function users(report) {
  const day = (text) => text.slice(0, 10);
  const last = new Date(Date.parse(report.to) - 1).toISOString();
  write('users-span', day(report.from) === day(last) ? `${day(last)}, whole day` : `${day(report.from)} to ${day(last)}, whole days`);
  const rows = report.rows.slice(0, TOP);
  const most = Math.max(...rows.map((row) => row.cost_usd), 0);
  const mostTokens = Math.max(...rows.map((row) => row.total_tokens), 1);
  const made = rows.map((row) =>
    element(
      'div',
      'row',
      named(row.name, 30),
      element('span', 'number', usd(row.cost_usd)),
      bar(most > 0 ? row.cost_usd / most : row.total_tokens / mostTokens),
      element('span', 'quiet note', `${short(row.total_tokens)} tokens, ${count(row.requests)} ${row.requests === 1 ? 'request' : 'requests'}`),
    ),
  );
  replace('users', made, 'No user in this range. With usage.users = "none" none is kept.');
}

const KINDS = {
  requests_per_minute: 'requests a minute',
  concurrent_requests: 'requests at once',
  requests_per_day: 'requests a day',
  tokens_per_day: 'tokens a day',
  tokens_per_month: 'tokens a month',
  usd_per_day: 'spend a day',
  usd_per_month: 'spend a month',
};

export function budgets(accounts, now) {
  if (accounts === null) {
    write('budgets-note', '');
    replace('budgets', [], 'No budgets are configured.');
    return;
  }
  write('budgets-note', accounts.length > 0 ? 'used and reserved, of the limit' : '');
  const made = accounts.slice(0, TOP).map((account) => {
    const isMoney = account.kind.startsWith('usd');
    const figure = isMoney ? usd : short;
    const taken = account.used + account.reserved;
    const share = account.limit > 0 ? taken / account.limit : 1;
    const level = share >= 1 ? 'over' : share >= 0.8 ? 'near' : '';
    const left = (Date.parse(account.resets_at) - Date.parse(now)) / 1000;
    const until = account.kind !== 'concurrent_requests' && left > 0 ? `, resets in ${duration(Math.max(left, 10))}` : '';
    const whose = `${account.tier} · ${account.scope === 'session' ? 'session, ' : ''}${KINDS[account.kind] ?? words(account.kind)}`;
    return element(
      'div',
      'row',
      named(account.account, 26),
      element('span', `number ${level}`, share >= 1 ? `${percent(share)} full` : percent(share)),
      bar(share, level),
      element('span', 'quiet note', `${figure(taken)} of ${figure(account.limit)} · ${clipped(whose, 40)}${until}`),
    );
  });
  replace('budgets', made, 'Nobody has used any of a budget yet.');
}

export function live({ count: all, streams, oldest }) {
  write('live-count', all > 0 ? `${count(all)}, ${count(streams)} ${streams === 1 ? 'stream' : 'streams'}` : '');
  const place = byId('live');
  if (oldest.length === 0) {
    place.replaceChildren(element('p', 'empty', 'Nothing is under way.'));
    return;
  }
  let body = place.querySelector('tbody');
  if (!body) {
    const heads = ['Age', 'Route', 'Tier', 'Kind', 'Passed on', 'Request id'].map((text) => element('th', text === 'Age' || text === 'Passed on' ? 'number' : '', text));
    heads.forEach((head) => (head.scope = 'col'));
    body = element('tbody');
    place.replaceChildren(element('table', '', element('thead', '', element('tr', '', ...heads)), body));
  }
  const rows = oldest.map((request) =>
    element(
      'tr',
      '',
      element('td', 'number', duration(request.age_ms / 1000)),
      element('td', '', clipped(request.route, 40)),
      element('td', '', request.tier ? named(request.tier, 20) : element('span', 'quiet', 'none')),
      element('td', '', request.stream ? 'stream' : 'answer'),
      element('td', 'number', request.bytes > 0 ? bytes(request.bytes) : '–'),
      element('td', 'id quiet', named(request.id, 34)),
    ),
  );
  body.replaceChildren(...rows);
}

/** Sixty minutes as small bars, the newest at the right. */
function spark(values) {
  const most = Math.max(...values, 1);
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${values.length * 2} 20`);
  svg.setAttribute('class', 'spark');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  const bars = values.map((value, at) => {
    const height = value > 0 ? Math.max(1.5, (value / most) * 20) : 0;
    return height > 0 ? `M${at * 2} 20v${-height.toFixed(2)}h1.5v${height.toFixed(2)}z` : '';
  });
  path.setAttribute('d', bars.join(''));
  svg.append(path);
  return svg;
}

export function refusals(kinds) {
  const made = kinds.slice(0, TOP).map((kind) =>
    element(
      'div',
      'row refusal',
      element('span', 'name', words(kind.code)),
      element('span', 'number', count(kind.count)),
      element('span', 'quiet note', kind.reason && kind.reason !== kind.code ? words(kind.reason) : ''),
      spark(kind.by_minute),
    ),
  );
  replace('refusals', made, 'Nothing was refused.');
}

function fact(name, value, note = '', level = '') {
  const mark = level ? element('i', `dot ${level}`) : null;
  return [element('dt', '', name), element('dd', '', mark, value, note ? element('span', 'quiet note', note) : null)];
}

const several = (outcomes) =>
  Object.entries(outcomes)
    .filter(([, times]) => times > 0)
    .sort((a, b) => b[1] - a[1])
    .map(([name, times]) => `${short(times)} ${words(name)}`)
    .join(', ');

export function health({ cache, mint, store, uptime_s: uptime }) {
  const failed = Object.entries(mint.outcomes).some(([name, times]) => name !== 'ok' && times > 0);
  const state = mint.paused ? ['Down: probed only', 'bad'] : Object.keys(mint.outcomes).length > 0 ? ['Answers', 'good'] : ['Not asked yet', ''];
  const stored = store === null ? ['No budgets, so none', '', ''] : store.up ? [`${store.kind} answers`, `${count(store.accounts)} accounts`, 'good'] : [`${store.kind} does not answer`, store.detail, 'bad'];
  byId('health').replaceChildren(
    ...fact('Token cache', cache.hit_ratio === null ? 'No looks yet' : `${percent(cache.hit_ratio)} hits`, several(cache.outcomes)),
    ...fact('Tokens held', count(cache.entries)),
    ...fact('Mint', state[0], `${several(mint.outcomes)}${failed ? ' since the start' : ''}`, state[1]),
    ...fact('Budget store', stored[0], store?.up && store.detail ? `${stored[1]}, ${store.detail}` : stored[1], stored[2]),
    ...fact('Running for', duration(Math.max(uptime, 10))),
  );
}
