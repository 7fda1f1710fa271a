// OpenAI's official Node SDK through the gate, unchanged but for base URL and key.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import OpenAI from 'openai';

import { DIRECT, keyOf, start } from './servers.mjs';

const model = 'gpt-4o-mini';
const messages = [{ role: 'user', content: 'Say hello.' }];
const ANSWER = 'This is the simulated answer of gpt-4o-mini.';
const tools = [{ type: 'function', function: { name: 'look_up_weather', parameters: { type: 'object', properties: {} } } }];

let servers;
before(async () => {
  servers = await start();
});
after(() => servers?.stop());
beforeEach(() => fetch(`${servers.upstream}/sim/requests`, { method: 'DELETE' }));

const client = (tenant = 'acme') =>
  new OpenAI({ baseURL: `${servers.door}/v1`, apiKey: keyOf(tenant), maxRetries: 0, timeout: 30_000 });
const heard = async () => (await fetch(`${servers.upstream}/sim/requests`)).json();
const stats = async () => (await fetch(`${servers.upstream}/sim/stats`)).json();

async function collect(stream) {
  const all = [];
  for await (const one of stream) all.push(one);
  return all;
}

async function refusal(call) {
  const error = await call.then(
    () => assert.fail('it was not refused'),
    (why) => why,
  );
  assert.ok(error instanceof OpenAI.APIError, String(error));
  return error;
}

describe('what works without the gate works through it', () => {
  it('answers a chat', async () => {
    const answer = await client().chat.completions.create({ model, messages });
    assert.equal(answer.choices[0].message.content, ANSWER);
    assert.ok(answer.usage.total_tokens > 0);
  });

  it('streams a chat that joins to the answer and ends with its usage', async () => {
    const chunks = await collect(
      await client().chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } }),
    );
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), ANSWER);
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  });

  it('streams piece by piece', async () => {
    const stream = await client().chat.completions.create({ model, messages, stream: true, user: 'sim:chunks=6,pause_ms=150' });
    const arrivals = [];
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) arrivals.push(performance.now());
    assert.equal(arrivals.length, 6);
    assert.ok(arrivals.at(-1) - arrivals[0] > 500, 'the pieces came all at once');
  });

  it('leaves the upstream when the client leaves a stream', async () => {
    const stream = await client().chat.completions.create({ model, messages, stream: true, user: 'sim:chunks=1000,pause_ms=50' });
    for await (const _ of stream) break;
    const deadline = Date.now() + 10_000;
    while ((await stats()).in_flight > 0) assert.ok(Date.now() < deadline, 'the upstream still streams to nobody');
  });

  it('calls a tool, streamed and put together by the SDK', async () => {
    const completion = await client().chat.completions.stream({ model, messages, tools }).finalChatCompletion();
    const call = completion.choices[0].message.tool_calls[0].function;
    assert.deepEqual([call.name, call.arguments], ['look_up_weather', '{}']);
  });

  it('answers embeddings', async () => {
    const answer = await client().embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'], dimensions: 64 });
    assert.deepEqual(answer.data.map((item) => item.embedding.length), [64, 64]);
    assert.ok(Math.abs(Math.hypot(...answer.data[0].embedding) - 1) < 1e-4);
  });

  it('answers a response, plain and streamed', async () => {
    const plain = await client().responses.create({ model, input: 'Say hello.' });
    assert.equal(plain.output_text, ANSWER);
    const events = await collect(await client().responses.create({ model, input: 'Say hello.', stream: true }));
    assert.deepEqual([events[0].type, events.at(-1).type], ['response.created', 'response.completed']);
    const deltas = events.filter((event) => event.type === 'response.output_text.delta');
    assert.equal(deltas.map((event) => event.delta).join(''), ANSWER);
  });
});

if (!DIRECT) {
  describe('the gate', () => {
    it('lists exactly the models that the tenant may use', async () => {
      const models = await collect(await client().models.list());
      const expected = ['claude-sonnet-4-5', 'gemini-2.5-flash', 'gpt-4o-mini', 'text-embedding-3-small'];
      assert.deepEqual(models.map((one) => one.id).sort(), expected);
      assert.deepEqual(await heard(), []);
    });

    it('swaps the key and keeps the client headers here', async () => {
      await client().chat.completions.create({ model, messages });
      const [request] = await heard();
      const headers = Object.fromEntries(request.headers);
      assert.equal(headers.authorization, 'Bearer sk-upstream-credential');
      assert.deepEqual(Object.keys(headers).filter((name) => /^(x-stainless|openai-)/.test(name)), []);
      assert.ok(!JSON.stringify(request.headers).includes('pcl_'));
    });

    const chat = (tenant, more) => client(tenant).chat.completions.create({ model, messages, ...more });
    const card = { messages: [{ role: 'user', content: 'Please charge 4539 1488 0343 6467 today.' }] };
    const named = (prompt) => ({ headers: { 'x-portcullis-prompt': prompt } });
    const cases = [
      ['a model that is not approved', OpenAI.PermissionDeniedError, 403, 'model_not_approved', () => chat('acme', { model: 'gpt-4o' })],
      ['a model that is not known', OpenAI.PermissionDeniedError, 403, 'model_unknown', () => chat('acme', { model: 'rogue-model' })],
      ['an unknown model in a stream', OpenAI.PermissionDeniedError, 403, 'model_unknown', () => chat('acme', { model: 'rogue-model', stream: true })],
      ['a model of other tenants', OpenAI.PermissionDeniedError, 403, 'model_not_permitted', () => chat('hooli', { model: 'claude-sonnet-4-5' })],
      ['a prompt that is not approved', OpenAI.PermissionDeniedError, 403, 'prompt_not_approved', () => client().chat.completions.create({ model, messages }, named('support-triage@2'))],
      ['a prompt that is not known', OpenAI.PermissionDeniedError, 403, 'prompt_unknown', () => client().chat.completions.create({ model, messages }, named('support-triage@9'))],
      ['a card number', OpenAI.PermissionDeniedError, 403, 'risk_blocked', () => chat('acme', card)],
      ['what a rule denies', OpenAI.PermissionDeniedError, 403, 'rule_denied', () => client('initech').completions.create({ model, prompt: 'x' })],
      ['a key that expired', OpenAI.AuthenticationError, 401, 'credential_expired', () => chat('acme-expired')],
      ['a path without a rule', OpenAI.NotFoundError, 404, 'unsupported_operation', () => client().files.list()],
    ];
    for (const [what, type, status, code, call] of cases) {
      it(`refuses ${what} as ${type.name}`, async () => {
        const error = await refusal(call());
        assert.ok(error instanceof type, error.constructor.name);
        assert.deepEqual([error.status, error.code], [status, code]);
        assert.equal(error.headers.get('x-portcullis-reason'), code);
        assert.ok(error.requestID);
        assert.deepEqual(await heard(), []);
      });
    }

    it('refuses an unknown key as AuthenticationError', async () => {
      const stranger = new OpenAI({ baseURL: `${servers.door}/v1`, apiKey: 'sk-proj-somebody-elses', maxRetries: 0 });
      const error = await refusal(stranger.chat.completions.create({ model, messages }));
      assert.ok(error instanceof OpenAI.AuthenticationError);
      assert.equal(error.code, 'credential_invalid');
    });

    it('refuses beyond the limit as RateLimitError and says how long to wait', async () => {
      for (let n = 0; n < 2; n += 1) await chat('trickle-node');
      const error = await refusal(chat('trickle-node'));
      assert.ok(error instanceof OpenAI.RateLimitError);
      assert.equal(error.code, 'request_limit');
      assert.ok(Number(error.headers.get('retry-after')) >= 1);
    });

    it('answers an upstream that is not there as InternalServerError', async () => {
      const error = await refusal(chat('initech', { model: 'dead-model' }));
      assert.ok(error instanceof OpenAI.InternalServerError);
      assert.deepEqual([error.status, error.code], [502, 'upstream_failed']);
    });
  });
}
