// The operators' page at the admin listener, in headless Chromium: what it asks for, what it runs, and
// what it says where there is nothing to show.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { ARTIFACTS, until } from '../lib/programs.mjs';
import { startGateway } from '../lib/stack.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
const TOKEN = 'an-operators-token-0123456789-0123456789';
const NOWHERE = 'http://127.0.0.1:9'; // nothing listens there: these tests call nobody
const HOSTILE = '<img src=x onerror="window.hurt=1">';

/** Figures as the gateway gives them, under names that want to be more than names. */
const FIGURES = {
  requests: 40, refused: 2, prompt_tokens: 90_000, cached_tokens: 30_000, completion_tokens: 10_000, total_tokens: 100_000,
  cost_usd: 1.25, metered: { known: 36, partial: 1, unknown: 1 }, unpriced: 0,
};
const standing = { account: HOSTILE, tier: HOSTILE, scope: 'user', kind: 'usd_per_day', limit: 1.5, used: 1.2, reserved: 0.2, resets_at: '2099-01-01T00:00:00Z' };
const LIVE = {
  requests: { count: 1, streams: 1, oldest: [{ id: HOSTILE, route: HOSTILE, tier: HOSTILE, age_ms: 61_000, bytes: 2_048, stream: true }] },
  budgets: [standing],
  store: { kind: 'embedded', up: true, detail: HOSTILE, accounts: 3 },
  refusals: [{ code: 'rate_limited', reason: HOSTILE, count: 7, by_minute: Array.from({ length: 60 }, (_, at) => at % 4) }],
};

describe('the usage page', () => {
  let gateway;
  let browser;
  let context;
  let page;
  let complaints;
  let asked;

  before(async () => {
    gateway = await startGateway(NOWHERE, { GATEWAY_ADMIN_TOKEN: TOKEN });
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    await mkdir(ARTIFACTS, { recursive: true });
  });
  after(async () => {
    await browser?.close();
    await gateway?.program.stop();
  });
  beforeEach(() => open(1280));
  afterEach(() => context?.close());

  async function open(width, colorScheme = 'light') {
    await context?.close();
    context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    page = await context.newPage();
    page.setDefaultTimeout(15_000);
    [complaints, asked] = [[], []];
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => asked.push(request.url()));
  }

  async function signIn(origin = gateway.adminOrigin) {
    await page.goto(origin);
    await page.getByRole('textbox', { name: 'Token' }).fill(TOKEN);
    await page.keyboard.press('Enter');
    await page.locator('#board').waitFor();
    await page.locator('#state[data-state="live"]').waitFor();
  }

  /** Answers in the gateway's place with `FIGURES` and `LIVE`, beside what it says itself. */
  async function pretend() {
    await page.route('**/usage/live', async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, json: { ...(await answer.json()), ...LIVE } });
    });
    await page.route('**/usage?**', async (route) => {
      const answer = await route.fetch();
      const report = await answer.json();
      const names = [HOSTILE, 'pro', ...Array.from({ length: 9 }, (_, at) => `name ${at}`)];
      const isByTime = report.by.length === 2;
      const rows = names.map((name) => ({ ...(isByTime && { at: report.from }), name, ...FIGURES }));
      await route.fulfill({ response: answer, json: { ...report, totals: FIGURES, rows } });
    });
  }

  test('asks for the token, takes no wrong one, and keeps the right one in this tab only', async () => {
    await page.goto(gateway.adminOrigin);
    await page.locator('#gate').waitFor();
    assert.equal(await page.locator('#board').isVisible(), false);
    assert.deepEqual(complaints, []);
    await page.getByRole('textbox', { name: 'Token' }).fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('This is not the gateway’s admin.token.').waitFor();
    assert.equal(await page.getByRole('textbox', { name: 'Token' }).inputValue(), '', 'a refused token is not kept');
    await signIn();
    await page.reload();
    await page.locator('#board').waitFor();
    const kept = await page.evaluate(() => [document.cookie, localStorage.length, location.href]);
    assert.deepEqual(kept, ['', 0, `${gateway.adminOrigin}/`]);
    assert.ok(asked.every((url) => !url.includes(TOKEN)), 'no address has the token');
    await page.getByRole('button', { name: 'Forget token' }).click();
    await page.locator('#gate').waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.ok(!gateway.program.output.includes(TOKEN));
  });

  test('is whole where nothing was used yet, runs only what its policy lets it, and asks nobody else', async () => {
    await signIn();
    for (const text of ['Nothing in this range yet.', 'Nothing is under way.', 'Nothing was refused.', 'Not asked yet']) {
      await page.getByText(text).first().waitFor();
    }
    const headings = await page.locator('#board h2').allInnerTexts();
    for (const heading of ['Spend, USD', 'Tokens', 'Top users', 'Fullest budgets', 'Refused in the last hour', 'Cache, mint and store']) {
      assert.ok(headings.includes(heading), `${heading}: ${headings}`);
    }
    assert.deepEqual(complaints, []);
    const strange = asked.filter((url) => !url.startsWith(`${gateway.adminOrigin}/`) && !url.startsWith('data:'));
    assert.deepEqual(strange, []);
  });

  test('asks anew every two seconds, and not while nobody looks', async () => {
    await signIn();
    const rounds = () => asked.filter((url) => url.endsWith('/usage/live')).length;
    const first = rounds();
    await until('two more rounds', () => rounds() >= first + 2, 15_000, 50);
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { get: () => true, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await page.getByText('Paused').waitFor();
    await page.waitForLoadState('networkidle');
    const paused = rounds();
    await page.waitForTimeout(4_500); // nothing to wait for: two rounds would have passed
    assert.equal(rounds(), paused);
    await page.evaluate(() => {
      delete document.hidden;
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await until('it goes on', () => rounds() > paused, 15_000, 50);
  });

  test('ranges and stacks are chosen with the keyboard', async () => {
    await signIn();
    await page.locator('input[value="24h"]').focus();
    await page.keyboard.press('ArrowRight');
    await until('seven days are asked for', () => asked.some((url) => url.includes('from=-7days&by=hour,tier')), 15_000, 50);
    await page.locator('input[value="tier"]').focus();
    await page.keyboard.press('ArrowRight');
    await until('models are asked for', () => asked.some((url) => url.includes('from=-7days&by=hour,model')), 15_000, 50);
    assert.deepEqual(complaints, []);
  });

  for (const [width, scheme] of [[1280, 'light'], [1280, 'dark'], [390, 'light'], [390, 'dark']]) {
    test(`hostile names stay text, and everything is in sight, at ${width} pixels, ${scheme}`, async () => {
      await open(width, scheme);
      await pretend();
      await signIn();
      await page.locator('#cost-chart canvas').waitFor();
      for (const place of ['#cost-legend', '#users', '#budgets', '#live', '#refusals', '#health']) {
        await page.locator(place).getByText('<img').first().waitFor();
      }
      assert.equal(await page.locator('#board img').count(), 0);
      assert.equal(await page.evaluate(() => window.hurt), undefined);
      assert.match(await page.locator('#budgets').innerText(), /93 %[^]*\$1\.40 of \$1\.50/);
      assert.match(await page.locator('#cost-legend').innerText(), /everything else \$7\.50/);
      assert.equal(await page.locator('#total-cost').innerText(), '$1.25');
      const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(tooWide <= 0, `${tooWide} pixels too wide`);
      await page.screenshot({ path: join(ARTIFACTS, `usage-${scheme}-${width}.png`), fullPage: true });
      assert.deepEqual(complaints, []);
    });
  }

  test('says how to set a token where there is none', async () => {
    const bare = await startGateway(NOWHERE);
    try {
      await page.goto(bare.adminOrigin);
      await page.getByText('No operator’s token is set').waitFor();
      assert.match(await page.locator('#unset').innerText(), /GATEWAY_ADMIN_TOKEN_FILE/);
      assert.deepEqual(complaints, []);
    } finally {
      await bare.program.stop();
    }
  });

  test('keeps the last figures and says so when the gateway is gone', async () => {
    const passing = await startGateway(NOWHERE, { GATEWAY_ADMIN_TOKEN: TOKEN });
    try {
      await signIn(passing.adminOrigin);
    } finally {
      await passing.program.stop();
    }
    await page.getByText(/The gateway does not answer; figures of \d\d:\d\d:\d\d UTC/).waitFor();
    assert.ok(await page.locator('#board.stale').isVisible());
  });
});
