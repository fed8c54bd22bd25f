// Behest's own tiers, seen through the gateway: a user who is over theirs is told so by Behest, and
// a better tier in the session helps at once.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { header, v5 } from '../lib/cookies.mjs';
import { startStack } from '../lib/stack.mjs';

const HELLO = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hello' }] };

let stack;
before(async () => {
  stack = await startStack({
    emulator: { tiers: { free: '2rpm', pro: '1000rpm', trial: '1tok' } },
  });
});
after(() => stack?.stop());

const chat = async (claims) => stack.sdk(header(await v5(claims))).chat.completions.create(HELLO);

describe('tiers', () => {
  test('over the rate of a tier is a RateLimitError that says when; the next tier is served at once', async () => {
    for (let i = 0; i < 2; i++) await chat({ sub: 'usr_eager', tier: 'free' });
    const limited = await chat({ sub: 'usr_eager', tier: 'free' }).catch((error) => error);
    assert.ok(limited instanceof OpenAI.RateLimitError, String(limited));
    assert.equal(limited.code, 'rate_limited');
    assert.ok(Number(limited.headers.get('retry-after')) > 0);
    assert.ok((await chat({ sub: 'usr_eager', tier: 'pro' })).id);
    assert.ok((await chat({ sub: 'usr_other', tier: 'free' })).id, 'another user is not held to it');
  });

  test('a used-up quota is a 402 that nobody retries', async () => {
    await chat({ sub: 'usr_trial', tier: 'trial' });
    const spent = await chat({ sub: 'usr_trial', tier: 'trial' }).catch((error) => error);
    assert.deepEqual([spent.status, spent.code], [402, 'quota_exceeded']);
  });
});
