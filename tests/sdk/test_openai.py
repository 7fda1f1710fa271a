"""What works without the gate works through it: OpenAI's official SDK, unchanged but for base URL and key."""

from __future__ import annotations

import math
import time

import openai
import pytest

from servers import Upstream

MODEL = "gpt-4o-mini"
ANSWER = "This is the simulated answer of gpt-4o-mini."
HELLO = [{"role": "user", "content": "Say hello."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up_weather",
            "description": "Looks the weather up; its schema has a property called model.",
            "parameters": {"type": "object", "properties": {"model": {"type": "string"}}},
        },
    }
]


def test_a_chat_is_answered(acme: openai.OpenAI) -> None:
    answer = acme.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_a_streamed_chat_joins_to_the_answer_and_ends_with_its_usage(acme: openai.OpenAI) -> None:
    stream = acme.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == ANSWER
    assert [c.usage is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]


def test_a_stream_arrives_piece_by_piece(acme: openai.OpenAI) -> None:
    stream = acme.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, user="sim:chunks=6,pause_ms=150"
    )
    arrivals = [time.monotonic() for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
    assert len(arrivals) == 6
    assert arrivals[-1] - arrivals[0] > 0.5, "the pieces came all at once"


def test_a_long_stream_arrives_whole(acme: openai.OpenAI) -> None:
    stream = acme.chat.completions.create(model=MODEL, messages=HELLO, stream=True, user="sim:chunks=2000")
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "".join(f"word{n} " for n in range(1, 2001))


def test_a_stream_that_the_client_leaves_is_left_upstream_too(acme: openai.OpenAI, upstream: Upstream) -> None:
    before = upstream.stats()["in_flight"]
    with acme.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, user="sim:chunks=1000,pause_ms=50"
    ) as stream:
        next(iter(stream))
        assert upstream.stats()["in_flight"] == before + 1
    deadline = time.monotonic() + 10
    while upstream.stats()["in_flight"] > before:
        assert time.monotonic() < deadline, "the upstream still streams to nobody"
        time.sleep(0.05)


def test_a_tool_is_called_and_its_result_answered(acme: openai.OpenAI) -> None:
    first = acme.chat.completions.create(model=MODEL, messages=HELLO, tools=TOOLS)
    call = first.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("look_up_weather", "{}")
    turns = [*HELLO, first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = acme.chat.completions.create(model=MODEL, messages=turns, tools=TOOLS)
    assert second.choices[0].message.content == ANSWER


def test_a_streamed_tool_call_is_put_together_by_the_sdk(acme: openai.OpenAI) -> None:
    with acme.chat.completions.stream(model=MODEL, messages=HELLO, tools=TOOLS) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("look_up_weather", "{}")


def test_a_text_completion_is_answered(acme: openai.OpenAI) -> None:
    assert acme.completions.create(model=MODEL, prompt="Say hello.").choices[0].text == ANSWER


@pytest.mark.parametrize("encoding", ["base64", "float", openai.omit], ids=["base64", "float", "default"])
def test_embeddings_are_the_same_in_every_encoding(acme: openai.OpenAI, encoding: object) -> None:
    answer = acme.embeddings.create(
        model="text-embedding-3-small", input=["one", "two"], encoding_format=encoding, dimensions=64
    )
    vectors = [item.embedding for item in answer.data]
    if encoding == "base64":  # asked for by name, the SDK leaves it coded
        assert all(isinstance(vector, str) for vector in vectors)
        return
    assert [len(vector) for vector in vectors] == [64, 64]
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-4) for vector in vectors)
    assert vectors[0] != vectors[1]


def test_a_response_is_answered(acme: openai.OpenAI) -> None:
    answer = acme.responses.create(model=MODEL, input="Say hello.")
    assert (answer.status, answer.output_text) == ("completed", ANSWER)
    assert answer.usage.total_tokens > 0


def test_a_streamed_response_has_its_events_in_order(acme: openai.OpenAI) -> None:
    events = list(acme.responses.create(model=MODEL, input="Say hello.", stream=True))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == ANSWER
    assert events[-1].response.output_text == ANSWER


@pytest.mark.anyio
async def test_the_async_client_is_answered_and_streamed_to(door: str, key_of) -> None:
    async with openai.AsyncOpenAI(base_url=f"{door}/v1", api_key=key_of("acme"), max_retries=0) as client:
        plain = await client.chat.completions.create(model=MODEL, messages=HELLO)
        stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert plain.choices[0].message.content == "".join(pieces) == ANSWER


@pytest.mark.gate
def test_the_models_are_those_that_the_tenant_may_use(acme: openai.OpenAI, upstream: Upstream) -> None:
    expected = ["claude-sonnet-4-5", "gemini-2.5-flash", "gpt-4o-mini", "text-embedding-3-small"]
    assert sorted(model.id for model in acme.models.list()) == expected
    assert upstream.heard() == [], "the list is the registry's, not the upstream's"


@pytest.mark.gate
def test_an_alias_is_forwarded_and_answered(acme: openai.OpenAI) -> None:
    answer = acme.chat.completions.create(model="gpt-4o-mini-2024-07-18", messages=HELLO)
    assert answer.choices[0].message.content == ANSWER, "the resolved name is what goes upstream"


@pytest.mark.gate
def test_an_approved_prompt_may_be_named(acme: openai.OpenAI) -> None:
    turns = [
        {"role": "system", "content": "You are the support assistant of Acme Bank. Answer politely."},
        *HELLO,
    ]
    answer = acme.chat.completions.create(
        model=MODEL, messages=turns, extra_headers={"x-portcullis-prompt": "support-triage@1"}
    )
    assert answer.choices[0].message.content == ANSWER
