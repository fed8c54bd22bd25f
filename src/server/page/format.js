// Numbers, times and elements, as the page writes them. Text from outside only ever becomes text.

const GROUPED = new Intl.NumberFormat('en-US');
const SHORT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 });

/** A count in full: 12,345. */
export const count = (number) => GROUPED.format(number);

/** A count in short: 12.3K. */
export const short = (number) => (Math.abs(number) < 1000 ? GROUPED.format(number) : SHORT.format(number));

/** US dollars: two decimals, or as many as show what there is of less than a cent. */
export function usd(amount) {
  if (amount === 0) return '$0';
  if (amount < 0.01) return `$${amount.toPrecision(2)}`.replace(/e-(\d+)$/, 'e−$1');
  if (amount >= 100_000) return `$${SHORT.format(amount)}`;
  return `$${amount.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: amount < 1 ? 3 : 2 })}`;
}

/** A share of one as a whole percentage, but never 100 % or 0 % where it is not quite. */
export function percent(share) {
  if (share > 0.99 && share < 1) return '>99 %';
  if (share > 0 && share < 0.01) return '<1 %';
  return `${Math.round(share * 100)} %`;
}

/** Bytes: 12 kB. */
export function bytes(amount) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1000;
    unit++;
  }
  return `${amount >= 100 || unit === 0 ? Math.round(amount) : amount.toFixed(1)} ${units[unit]}`;
}

/** A duration in its two largest units: 3 min 20 s. */
export function duration(seconds) {
  const units = [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]];
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const first = units.findIndex(([, size]) => seconds >= size);
  const parts = [];
  let rest = Math.floor(seconds);
  for (const [name, size] of units.slice(first, first + 2)) {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    if (whole > 0) parts.push(`${whole} ${name}`);
  }
  return parts.join(' ');
}

/** Under `limit` characters, the middle left out: both ends of an id tell something. */
export function clipped(text, limit = 40) {
  const letters = [...text];
  if (letters.length <= limit) return text;
  const end = Math.floor(limit / 3);
  return `${letters.slice(0, limit - end - 1).join('')}…${letters.slice(-end).join('')}`;
}

/** A code word as people read it: `session_missing` → `session missing`. */
export const words = (code) => code.replaceAll('_', ' ');

/** An element with a class, and text or children. */
export function element(name, className = '', ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text that may be too long: shortened, and whole in its title. Signs that are not seen, but turn others around, are. */
export function named(text, limit) {
  const shown = clipped(text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD'), limit);
  const made = element('span', 'name', shown);
  if (shown !== text) made.title = text;
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Sets an element's text, where it changed: what did not is not read out again. */
export function write(id, text) {
  const target = byId(id);
  if (target.textContent !== text) target.textContent = text;
}
