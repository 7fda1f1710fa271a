"""Limits: exact under a burst, the SDKs' own rate limit errors, and how long to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anthropic
import openai
import pytest

from conftest import KEYS
from refusals import assert_sealed, code_of
from servers import Upstream

pytestmark = pytest.mark.gate

HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.mark.anyio
async def test_of_150_calls_at_once_exactly_100_pass_and_50_are_refused(
    door: str, upstream: Upstream, acme: openai.OpenAI
) -> None:
    """The only test that calls as globex: every attempt of a tenant counts against its window."""
    before = upstream.stats()["requests"]
    async with openai.AsyncOpenAI(base_url=f"{door}/v1", api_key=KEYS["globex"], max_retries=0, timeout=60) as client:
        calls = (client.chat.completions.create(model="gpt-4o-mini", messages=HELLO) for _ in range(150))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    others = [outcome for outcome in refused if not isinstance(outcome, openai.RateLimitError)]
    assert others == []
    assert (len(outcomes) - len(refused), len(refused)) == (100, 50)
    assert {code_of(outcome) for outcome in refused} == {"request_limit"}
    assert upstream.stats()["requests"] - before == 100
    assert acme.chat.completions.create(model="gpt-4o-mini", messages=HELLO).choices, "another tenant is not touched"


def test_openais_sdk_learns_its_limit_and_how_long_to_wait(
    openai_for: Callable[[str], openai.OpenAI], upstream: Upstream
) -> None:
    client = openai_for("trickle-openai")
    ask = client.chat.completions.with_raw_response.create
    remaining = [
        ask(model="gpt-4o-mini", messages=HELLO).headers["x-ratelimit-remaining-requests"] for _ in range(2)
    ]
    assert remaining == ["1", "0"]
    with pytest.raises(openai.RateLimitError) as caught:
        ask(model="gpt-4o-mini", messages=HELLO)
    assert code_of(caught.value) == "request_limit"
    assert_sealed(caught.value)
    headers = caught.value.response.headers
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("2", "0")
    assert headers["x-ratelimit-reset-requests"]
    assert 1 <= int(headers["retry-after"]) <= 60
    assert len(upstream.heard()) == 2


def test_anthropics_sdk_learns_how_long_to_wait(
    anthropic_for: Callable[[str], anthropic.Anthropic], upstream: Upstream
) -> None:
    client = anthropic_for("trickle-anthropic")
    for _ in range(2):
        client.messages.create(model="claude-sonnet-4-5", max_tokens=10, messages=HELLO)
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(model="claude-sonnet-4-5", max_tokens=10, messages=HELLO)
    assert (caught.value.type, code_of(caught.value)) == ("rate_limit_error", "request_limit")
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
    assert len(upstream.heard()) == 2


def test_a_call_that_reserves_more_tokens_than_the_tenant_has_is_refused(
    openai_for: Callable[[str], openai.OpenAI], upstream: Upstream
) -> None:
    client = openai_for("thrifty")
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, max_tokens=5000)
    assert code_of(caught.value) == "token_limit"
    assert upstream.heard() == []
