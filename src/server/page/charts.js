// Stacked bars over time, by uPlot.
import { element, named } from '/page/format.js';

/** Names that get a colour of their own; the rest is one. */
const COLOURS = 6;
const HEIGHT = 220;

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** One name has one colour while the page is open, in both charts and over all ranges. */
const places = { tier: new Map(), model: new Map() };

function colourOf(split, name) {
  if (name === 'everything else') return '--series-rest';
  const known = places[split];
  if (!known.has(name)) known.set(name, known.size);
  return known.get(name) < COLOURS ? `--series-${known.get(name) + 1}` : '--series-rest';
}

/**
 * The rows of a report as columns: the moments, and for each name, the largest first, a value at each.
 * `measure` takes a row's number. Names after the sixth are added up.
 */
export function columns(report, measure, step, split) {
  const start = Date.parse(report.from) / 1000;
  const length = Math.max(1, Math.round((Date.parse(report.to) / 1000 - start) / step));
  const times = Array.from({ length }, (_, index) => start + index * step);
  const totals = new Map();
  for (const row of report.rows) totals.set(row.name, (totals.get(row.name) ?? 0) + measure(row));
  const ranked = [...totals].filter(([, total]) => total > 0).sort((a, b) => b[1] - a[1]);
  const shown = ranked.slice(0, ranked.length > COLOURS ? COLOURS - 1 : COLOURS).map(([name]) => name);
  const groups = ranked.length > shown.length ? [...shown, 'everything else'] : shown;
  const index = new Map(shown.map((name, at) => [name, at]));
  const values = groups.map(() => new Array(length).fill(0));
  for (const row of report.rows) {
    const at = Math.floor((Date.parse(row.at) / 1000 - start) / step);
    const series = values[index.get(row.name) ?? groups.length - 1];
    if (series && at >= 0 && at < length) series[at] += measure(row);
  }
  const sums = groups.map((name, at) => ({ name, split, total: values[at].reduce((sum, value) => sum + value, 0) }));
  return { times, groups: sums, values };
}

/** Each series on top of those before it, in the order of drawing: the highest first, what is lower covers it. */
function stacked({ times, values }) {
  const below = new Array(times.length).fill(0);
  const piled = values.map((own) => own.map((value, at) => (below[at] += value)));
  return [times, ...piled.reverse()];
}

/** A chart in `place`, its legend in `legend`; `write` formats a value. */
export class StackedBars {
  #place;
  #legend;
  #write;
  #plot = null;
  #shape = '';
  #data = null;

  constructor(place, legend, write) {
    this.#place = place;
    this.#legend = legend;
    this.#write = write;
    new ResizeObserver(() => this.#resize()).observe(place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.#shape = '';
      if (this.#data) this.show(this.#data);
    });
  }

  show(data) {
    this.#data = data;
    const { groups, step } = data;
    // The largest take their colours first.
    for (const { name, split } of groups) colourOf(split, name);
    const shape = JSON.stringify([groups.map(({ name, split }) => [name, split]), step]);
    if (shape !== this.#shape) this.#build(data);
    this.#shape = shape;
    if (groups.length > 0) this.#plot.setData(stacked(data));
    this.#tell(null);
    this.#describe(data);
  }

  #build({ groups, step }) {
    this.#plot?.destroy();
    this.#plot = null;
    this.#place.replaceChildren();
    if (groups.length === 0) {
      this.#place.append(element('p', 'empty', 'Nothing in this range yet.'));
      return;
    }
    const bars = uPlot.paths.bars({ size: [0.78, 40], align: 1 });
    const line = { stroke: style('--quiet'), font: '11px system-ui, sans-serif', ticks: { show: false } };
    const grid = { stroke: style('--line'), width: 1 };
    const options = {
      width: Math.max(this.#place.clientWidth, 120),
      height: HEIGHT,
      legend: { show: false },
      tzDate: (time) => uPlot.tzDate(new Date(time * 1000), 'Etc/UTC'),
      padding: [8, 22, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      // Half a step free at the right: the last bar is whole.
      scales: { x: { range: (_, min, max) => [min, max + step] }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
      axes: [
        { ...line, grid: { show: false }, size: 30, space: 64, values: moments },
        { ...line, grid, size: 56, values: (_, ticks) => ticks.map((tick) => this.#write(tick)) },
      ],
      series: [{}, ...groups.toReversed().map(({ name, split }) => ({ fill: style(colourOf(split, name)), width: 0, paths: bars, points: { show: false } }))],
      hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx)] },
    };
    this.#plot = new uPlot(options, [[], ...groups.map(() => [])], this.#place);
  }

  /** The legend: each name with its sum, or with its value where the pointer is. */
  #tell(at) {
    const { groups, values, times, step } = this.#data;
    const isAt = at !== null && at !== undefined && at < times.length;
    const entries = groups.map(({ name, split, total }, index) => {
      const swatch = element('i', 'swatch');
      swatch.style.background = `var(${colourOf(split, name)})`;
      return element('span', 'entry', swatch, named(name, 24), ' ', element('b', '', this.#write(isAt ? values[index][at] : total)));
    });
    const when = isAt ? moment(times[at], step) : groups.length > 0 ? 'whole range' : '';
    this.#legend.replaceChildren(element('span', 'quiet when', when), ...entries);
  }

  #describe({ groups }) {
    const parts = groups.map(({ name, total }) => `${name} ${this.#write(total)}`);
    const title = this.#place.id.startsWith('cost') ? 'Spend over time' : 'Tokens over time';
    this.#place.setAttribute('aria-label', parts.length > 0 ? `${title}: ${parts.join(', ')}` : `${title}: nothing yet`);
  }

  #resize() {
    const width = this.#place.clientWidth;
    if (this.#plot && width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', hour: '2-digit', minute: '2-digit' });
const DATE = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', day: 'numeric', month: 'short' });

/** Ticks: times within a day, dates beyond. */
function moments(plot, ticks) {
  const span = plot.scales.x.max - plot.scales.x.min;
  const isDays = span > 2 * 86_400;
  let last = '';
  return ticks.map((tick) => {
    const at = new Date(tick * 1000);
    const text = isDays ? DATE.format(at) : CLOCK.format(at);
    const shown = text === last ? '' : text;
    last = text;
    return shown;
  });
}

function moment(time, step) {
  const at = new Date(time * 1000);
  return step >= 86_400 ? `${DATE.format(at)}` : `${DATE.format(at)}, ${CLOCK.format(at)}`;
}
