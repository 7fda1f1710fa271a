// Vercel's AI SDK through the gate, unchanged but for base URL and key.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, Output, embed, embedMany, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

import { DIRECT, keyOf, start } from './servers.mjs';

const prompt = 'Say hello.';
const answerOf = (model) => `This is the simulated answer of ${model}.`;
const GPT = 'gpt-4o-mini';
const CLAUDE = 'claude-sonnet-4-5';

let servers;
before(async () => {
  servers = await start();
});
after(() => servers?.stop());
beforeEach(() => fetch(`${servers.upstream}/sim/requests`, { method: 'DELETE' }));

const heard = async () => (await fetch(`${servers.upstream}/sim/requests`)).json();
const order = (orders) =>
  fetch(`${servers.upstream}/sim/next`, { method: 'POST', body: JSON.stringify({ times: 1, orders }) });
const openai = () => createOpenAI({ baseURL: `${servers.door}/v1`, apiKey: keyOf('wayne') });
const anthropic = () => createAnthropic({ baseURL: `${servers.door}/v1`, apiKey: keyOf('wayne') });

// Which model speaks at which endpoint.
const ways = {
  'responses': [(name = GPT) => openai()(name), GPT],
  'chat completions': [(name = GPT) => openai().chat(name), GPT],
  'messages': [(name = CLAUDE) => anthropic()(name), CLAUDE],
};

// The first tool call gets its result, then the model answers.
const tools = {
  look_up_weather: tool({
    description: 'Looks the weather up; its schema has a property called model.',
    inputSchema: z.object({ model: z.string().optional() }),
    execute: async () => '7 degrees',
  }),
};
const stopWhen = stepCountIs(3);

async function failure(call) {
  return call().then(
    () => assert.fail('it did not fail'),
    (why) => why,
  );
}

// The first error of a stream, which the SDK hands to a callback.
async function streamFailure(settings) {
  const errors = [];
  const { textStream } = streamText({ ...settings, onError: ({ error }) => errors.push(error) });
  for await (const _ of textStream);
  assert.ok(errors.length > 0, 'it did not fail');
  return errors[0];
}

for (const [way, [model, name]] of Object.entries(ways)) {
  describe(`the AI SDK with ${way}`, () => {
    const settings = (more) => ({ model: model(), maxRetries: 0, prompt, ...more });

    it('answers', async () => {
      const result = await generateText(settings({ system: 'Be kind.', temperature: 0.1, maxOutputTokens: 100 }));
      assert.equal(result.text, answerOf(name));
      assert.ok(result.usage.totalTokens > 0);
    });

    it('streams to the answer and its usage', async () => {
      const result = streamText(settings());
      const pieces = [];
      for await (const piece of result.textStream) pieces.push(piece);
      assert.equal(pieces.join(''), answerOf(name));
      assert.ok(pieces.length > 1);
      assert.ok((await result.usage).outputTokens > 0);
    });

    it('runs a tool and answers with its result', async () => {
      const plain = await generateText(settings({ tools, stopWhen }));
      const streamed = streamText(settings({ tools, stopWhen }));
      assert.equal(plain.text, answerOf(name));
      assert.equal(await streamed.text, answerOf(name));
      for (const steps of [plain.steps, await streamed.steps]) {
        assert.deepEqual(steps.map((step) => step.toolResults.map((result) => result.output)), [['7 degrees'], []]);
      }
    });

    it('sends an inline image', async () => {
      const image = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk', 'base64');
      const content = [{ type: 'text', text: prompt }, { type: 'image', image }];
      const { text } = await generateText({ model: model(), maxRetries: 0, messages: [{ role: 'user', content }] });
      assert.equal(text, answerOf(name));
    });

    it('asks for an object by a schema with a property called model', async () => {
      await order('say={"model":"x"}');
      const output = Output.object({ schema: z.object({ model: z.string() }) });
      assert.deepEqual((await generateText(settings({ output }))).output, { model: 'x' });
    });

    if (!DIRECT) {
      it('refuses as APICallError with our code', async () => {
        const refused = [
          ['rogue-model', prompt, 403, 'model_unknown'],
          ['gpt-4o', prompt, 403, 'model_not_approved'],
          ['text-embedding-3-small', prompt, 403, 'operation_not_permitted'],
          [name, 'Please charge 4539 1488 0343 6467 today.', 403, 'risk_blocked'],
        ];
        for (const [asked, words, status, code] of refused) {
          const call = { model: model(asked), maxRetries: 0, prompt: words };
          for (const error of [await failure(() => generateText(call)), await streamFailure(call)]) {
            assert.ok(APICallError.isInstance(error), String(error));
            assert.equal(error.statusCode, status);
            assert.equal(error.responseHeaders['x-portcullis-reason'], code);
            assert.match(error.message, new RegExp(`\\[${code}\\]`));
            const { error: said } = JSON.parse(error.responseBody);
            assert.equal(said.code ?? said.details.error_code, code);
            assert.equal(error.isRetryable, false);
          }
        }
        assert.deepEqual(await heard(), []);
      });

      it('fails on a stream that is cut', async () => {
        await order('chunks=20,cut_after=6');
        assert.match(JSON.stringify(await streamFailure(settings())), /upstream_failed/);
      });
    }
  });
}

describe('the AI SDK', () => {
  it('embeds one and many', async () => {
    const model = openai().embedding('text-embedding-3-small');
    assert.equal((await embed({ model, value: 'one', maxRetries: 0 })).embedding.length, 1536);
    assert.equal((await embedMany({ model, values: ['one', 'two'], maxRetries: 0 })).embeddings.length, 2);
  });

  it('completes text', async () => {
    const { text } = await generateText({ model: openai().completion(GPT), maxRetries: 0, prompt });
    assert.equal(text, answerOf(GPT));
  });

  it('goes on with a conversation that the upstream does not keep', async () => {
    const model = openai()(GPT);
    const providerOptions = { openai: { store: false } };
    const { response } = await generateText({ model, maxRetries: 0, prompt, providerOptions });
    const messages = [{ role: 'user', content: prompt }, ...response.messages, { role: 'user', content: 'More.' }];
    assert.equal((await generateText({ model, maxRetries: 0, messages, providerOptions })).text, answerOf(GPT));
    if (DIRECT) return;
    // Without `store: false` the SDK refers to what it believes to be stored.
    const error = await failure(() => generateText({ model, maxRetries: 0, messages }));
    assert.equal(error.responseHeaders['x-portcullis-reason'], 'reference_not_permitted');
  });
});
