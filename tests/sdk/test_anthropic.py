"""What works without the gate works through it: Anthropic's official SDK, unchanged but for base URL and key."""

from __future__ import annotations

import time

import anthropic
import pytest

from servers import Upstream

MODEL = "claude-sonnet-4-5"
ANSWER = "This is the simulated answer of claude-sonnet-4-5."
HELLO = [{"role": "user", "content": "Say hello."}]
TOOLS = [{"name": "look_up_weather", "input_schema": {"type": "object", "properties": {"model": {"type": "string"}}}}]


def test_a_message_is_answered(acme_claude: anthropic.Anthropic) -> None:
    answer = acme_claude.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
    assert (answer.content[0].text, answer.stop_reason) == (ANSWER, "end_turn")
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


def test_a_streamed_message_joins_to_the_answer(acme_claude: anthropic.Anthropic) -> None:
    with acme_claude.messages.stream(model=MODEL, max_tokens=100, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == ANSWER
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 7)


def test_the_raw_events_come_in_order(acme_claude: anthropic.Anthropic) -> None:
    events = [e.type for e in acme_claude.messages.create(model=MODEL, max_tokens=100, messages=HELLO, stream=True)]
    assert events[:2] == ["message_start", "content_block_start"]
    assert events[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_a_stream_arrives_piece_by_piece(acme_claude: anthropic.Anthropic) -> None:
    with acme_claude.messages.stream(
        model=MODEL, max_tokens=100, messages=HELLO, metadata={"user_id": "sim:chunks=6,pause_ms=150"}
    ) as stream:
        arrivals = [time.monotonic() for _ in stream.text_stream]
    assert len(arrivals) == 6
    assert arrivals[-1] - arrivals[0] > 0.5, "the pieces came all at once"


def test_a_tool_is_called_and_its_result_answered(acme_claude: anthropic.Anthropic) -> None:
    first = acme_claude.messages.create(model=MODEL, max_tokens=100, messages=HELLO, tools=TOOLS)
    assert (first.stop_reason, first.content[0].name) == ("tool_use", "look_up_weather")
    result = {"type": "tool_result", "tool_use_id": first.content[0].id, "content": "sunny"}
    turns = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = acme_claude.messages.create(model=MODEL, max_tokens=100, messages=turns, tools=TOOLS)
    assert second.content[0].text == ANSWER


def test_tokens_are_counted(acme_claude: anthropic.Anthropic) -> None:
    assert acme_claude.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens > 0


@pytest.mark.anyio
async def test_the_async_client_is_answered_and_streamed_to(door: str, key_of) -> None:
    async with anthropic.AsyncAnthropic(base_url=door, api_key=key_of("acme"), max_retries=0) as client:
        plain = await client.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
        async with client.messages.stream(model=MODEL, max_tokens=100, messages=HELLO) as stream:
            streamed = await stream.get_final_text()
    assert plain.content[0].text == streamed == ANSWER


@pytest.mark.gate
def test_a_bearer_token_is_as_good_as_an_api_key(door: str, key_of) -> None:
    with anthropic.Anthropic(base_url=door, api_key=None, auth_token=key_of("acme"), max_retries=0) as client:
        assert client.messages.create(model=MODEL, max_tokens=100, messages=HELLO).content[0].text == ANSWER


@pytest.mark.gate
def test_the_models_are_those_that_the_tenant_may_use(acme_claude: anthropic.Anthropic, upstream: Upstream) -> None:
    expected = ["claude-sonnet-4-5", "gemini-2.5-flash", "gpt-4o-mini", "text-embedding-3-small"]
    assert sorted(model.id for model in acme_claude.models.list()) == expected
    assert upstream.heard() == [], "the list is the registry's, not the upstream's"
