"""An upstream that fails: typed errors, no redirect followed, nothing cut passed on as complete, and the breaker."""

from __future__ import annotations

from collections.abc import Callable

import anthropic
import openai
import pytest

from refusals import code_of
from servers import Upstream

pytestmark = pytest.mark.gate

MODEL = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Say hello."}]
ANSWER = "This is the simulated answer of gpt-4o-mini."


def ask(client: openai.OpenAI, orders: str, model: str = MODEL, **more: object):
    return client.chat.completions.create(model=model, messages=HELLO, user=f"sim:{orders}", **more)


def test_an_upstream_that_is_not_there_is_an_internal_server_error(
    openai_for: Callable[[str], openai.OpenAI],
) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(openai_for("initech"), "", model="dead-model")
    assert (caught.value.status_code, code_of(caught.value)) == (502, "upstream_failed")


def test_an_upstream_that_does_not_answer_in_time_is_an_internal_server_error(
    openai_for: Callable[[str], openai.OpenAI],
) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(openai_for("initech"), "delay_ms=10000", model="slow-model")
    assert (caught.value.status_code, code_of(caught.value)) == (504, "upstream_timeout")


@pytest.mark.parametrize(
    "framing", ["length_and_chunked", "two_lengths", "unasked_upgrade", "garbage", "silence"]
)
def test_an_answer_with_broken_framing_is_an_internal_server_error(acme: openai.OpenAI, framing: str) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(acme, f"framing={framing}")
    assert (caught.value.status_code, code_of(caught.value)) == (502, "upstream_failed")


@pytest.mark.parametrize("framing", ["bad_chunk_size", "short_body", "no_last_chunk"])
def test_an_answer_that_breaks_off_is_never_passed_on_as_complete(acme: openai.OpenAI, framing: str) -> None:
    with pytest.raises((openai.InternalServerError, openai.APIConnectionError)):
        ask(acme, f"framing={framing}")


def test_interim_answers_are_skipped(acme: openai.OpenAI) -> None:
    assert ask(acme, "framing=interim").choices[0].message.content == ANSWER


def test_a_second_answer_never_becomes_somebody_elses(acme: openai.OpenAI) -> None:
    assert ask(acme, "framing=two_answers").choices[0].message.content == ANSWER
    for _ in range(5):
        assert ask(acme, "").choices[0].message.content == ANSWER


def test_a_redirect_is_not_followed(acme: openai.OpenAI, upstream: Upstream) -> None:
    before = upstream.stats()["unknown_paths"]
    with pytest.raises(openai.APIStatusError):
        ask(acme, "status=307")
    assert upstream.stats()["unknown_paths"] == before
    assert len(upstream.heard()) == 1


def test_a_stream_that_is_cut_is_an_error_in_the_client(acme: openai.OpenAI) -> None:
    stream = ask(acme, "chunks=20,cut_after=4", stream=True)
    # Either the gate's error event, or the broken connection as the SDK's transport reports it.
    with pytest.raises(openai.APIError):
        list(stream)


def test_a_vendors_own_refusal_reaches_the_client_as_its_typed_error(
    acme: openai.OpenAI, acme_claude: anthropic.Anthropic
) -> None:
    with pytest.raises(openai.RateLimitError):
        ask(acme, "status=429")
    with pytest.raises(anthropic.BadRequestError):
        acme_claude.messages.create(
            model="claude-sonnet-4-5", max_tokens=10, messages=HELLO, metadata={"user_id": "sim:status=400"}
        )


def test_an_upstream_that_keeps_failing_is_given_a_rest(
    openai_for: Callable[[str], openai.OpenAI], upstream: Upstream
) -> None:
    client = openai_for("initech")
    for _ in range(3):
        with pytest.raises(openai.InternalServerError):
            ask(client, "status=500", model="frail-model")
    assert len(upstream.heard()) == 3
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "", model="frail-model")
    assert (caught.value.status_code, code_of(caught.value)) == (503, "breaker_open")
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 120
    assert len(upstream.heard()) == 3, "a resting upstream was asked"
    assert ask(client, "").choices[0].message.content == ANSWER, "another upstream is not touched"
