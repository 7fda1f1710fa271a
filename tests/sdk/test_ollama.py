"""Ollama's Python client through the gate, unchanged but for host and key."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import ollama
import pytest

from refusals import CARD
from servers import Upstream

for name in [name for name in os.environ if name.upper().startswith("OLLAMA_")]:
    del os.environ[name]

MODEL = "llama3.2"
ANSWER = f"This is the simulated answer of {MODEL}."
HELLO = [{"role": "user", "content": "Say hello."}]
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def look_up_weather(model: str) -> str:
    """Looks the weather up.

    Args:
        model: which forecast to take.
    """
    return f"7 degrees by {model}"


@pytest.fixture
def client_with(door: str) -> Callable[[str], ollama.Client]:
    return lambda key: ollama.Client(host=door, headers={"authorization": f"Bearer {key}"}, timeout=30)


@pytest.fixture
def wayne(client_with: Callable[[str], ollama.Client], key_of: Callable[[str], str]) -> ollama.Client:
    return client_with(key_of("wayne"))


def test_a_chat_is_answered(wayne: ollama.Client) -> None:
    answer = wayne.chat(model=MODEL, messages=HELLO)
    assert answer.message.content == ANSWER
    assert answer.done and answer.prompt_eval_count > 0 and answer.eval_count == 7


def test_a_streamed_chat_joins_to_the_answer_and_ends_with_its_counts(wayne: ollama.Client) -> None:
    parts = list(wayne.chat(model=MODEL, messages=HELLO, stream=True))
    assert "".join(part.message.content for part in parts) == ANSWER
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].eval_count == len(parts) - 1


def test_a_stream_arrives_piece_by_piece(wayne: ollama.Client, upstream: Upstream) -> None:
    upstream.next("chunks=6,pause_ms=150")
    arrivals = [time.monotonic() for part in wayne.chat(model=MODEL, messages=HELLO, stream=True) if not part.done]
    assert len(arrivals) == 6
    assert arrivals[-1] - arrivals[0] > 0.5, "the pieces came all at once"


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_result_goes_back(wayne: ollama.Client, stream: bool) -> None:
    first = wayne.chat(model=MODEL, messages=HELLO, tools=[look_up_weather], stream=stream)
    message = next(part.message for part in first if part.message.tool_calls) if stream else first.message
    assert message.tool_calls[0].function.name == "look_up_weather"
    back = {"role": "tool", "tool_name": "look_up_weather", "content": look_up_weather("x")}
    second = wayne.chat(model=MODEL, messages=[*HELLO, message, back], tools=[look_up_weather])
    assert second.message.content == ANSWER


def test_all_settings_pass(wayne: ollama.Client, upstream: Upstream) -> None:
    options = ollama.Options(num_predict=50, num_ctx=2048, temperature=0.1, stop=["END"], seed=3, mirostat=0, numa=False)
    answer = wayne.chat(
        model=MODEL,
        messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "x", "images": [PICTURE]}],
        options=options,
        format={"type": "object", "properties": {"model": {"type": "string"}}},
        keep_alive="5m",
        think=False,
        logprobs=True,
        top_logprobs=2,
    )
    assert answer.message.content == ANSWER
    assert json.loads(upstream.only_heard().body)["messages"][1]["images"] == [PICTURE]


def test_a_bound_in_the_options_cuts_the_answer_short(wayne: ollama.Client) -> None:
    assert wayne.chat(model=MODEL, messages=HELLO, options={"num_predict": 3}).done_reason == "length"


def test_text_is_generated_plain_and_streamed(wayne: ollama.Client) -> None:
    plain = wayne.generate(model=MODEL, prompt="Say", suffix=".", system="Be kind.", context=[1, 2], images=[PICTURE])
    assert plain.response == ANSWER
    parts = wayne.generate(model=MODEL, prompt="Say", template="{{ .Prompt }}", raw=True, stream=True)
    assert "".join(part.response for part in parts) == ANSWER


def test_texts_are_embedded_in_both_ways(wayne: ollama.Client) -> None:
    many = wayne.embed(model=MODEL, input=["one", "two"], dimensions=64, truncate=True)
    assert [len(vector) for vector in many.embeddings] == [64, 64]
    assert len(wayne.embed(model=MODEL, input="one").embeddings) == 1
    assert len(wayne.embeddings(model=MODEL, prompt="one").embedding) == 768


# What follows needs the gate.


def chat(model: str = MODEL, text: str = "Say hello.", **more: object):
    return lambda client: client.chat(model=model, messages=[{"role": "user", "content": text}], **more)


REFUSED = {
    "unknown": (chat("rogue-model"), 403, "model_unknown"),
    "unknown-in-a-stream": (
        lambda client: list(client.chat(model="rogue-model", messages=HELLO, stream=True)),
        403,
        "model_unknown",
    ),
    "unknown-in-generate": (lambda client: client.generate(model="rogue-model", prompt="x"), 403, "model_unknown"),
    "unknown-in-embed": (lambda client: client.embed(model="rogue-model", input="x"), 403, "model_unknown"),
    "unknown-in-embeddings": (lambda client: client.embeddings(model="rogue-model", prompt="x"), 403, "model_unknown"),
    "the-same-model-by-another-name": (chat(f"{MODEL}:latest"), 403, "model_unknown"),
    "pending": (chat("gpt-4o"), 403, "model_not_approved"),
    "another-operation": (
        lambda client: client.generate(model="command-a-03-2025", prompt="x"),
        403,
        "operation_not_permitted",
    ),
    "card-number": (chat(text=f"Please charge {CARD} today."), 403, "risk_blocked"),
    "card-number-in-a-template": (
        lambda client: client.generate(model=MODEL, template=f"Card {CARD}."),
        403,
        "risk_blocked",
    ),
    "steering-option": (chat(options={"model": "rogue-model"}), 400, "unsupported_parameter"),
    "pulling": (lambda client: client.pull("rogue-model"), 404, "unsupported_operation"),
    "creating": (lambda client: client.create(model="mine", from_=MODEL), 404, "unsupported_operation"),
    "copying": (lambda client: client.copy(MODEL, "mine"), 404, "unsupported_operation"),
    "deleting": (lambda client: client.delete(MODEL), 404, "unsupported_operation"),
    "listing": (lambda client: client.list(), 404, "unsupported_operation"),
    "showing": (lambda client: client.show(MODEL), 404, "unsupported_operation"),
    "looking-at-what-runs": (lambda client: client.ps(), 404, "unsupported_operation"),
}


@pytest.mark.gate
@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_the_clients_response_error_with_our_code(
    wayne: ollama.Client, upstream: Upstream, case: str
) -> None:
    call, status, code = REFUSED[case]
    with pytest.raises(ollama.ResponseError) as caught:
        call(wayne)
    assert caught.value.status_code == status
    assert f"[{code}]" in caught.value.error
    assert upstream.heard() == [], "a refused request reached the upstream"


@pytest.mark.gate
def test_a_key_that_is_not_ours_is_refused(client_with: Callable[[str], ollama.Client]) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        client_with("somebody-elses").chat(model=MODEL, messages=HELLO)
    assert caught.value.status_code == 401
    assert "[credential_invalid]" in caught.value.error


@pytest.mark.gate
def test_a_stream_that_is_cut_ends_with_an_error(wayne: ollama.Client, upstream: Upstream) -> None:
    upstream.next("chunks=20,cut_after=4")
    with pytest.raises(ollama.ResponseError) as caught:
        list(wayne.chat(model=MODEL, messages=HELLO, stream=True))
    assert "[upstream_failed]" in caught.value.error


@pytest.mark.gate
def test_an_error_of_the_upstream_reaches_the_client_as_it_is(wayne: ollama.Client, upstream: Upstream) -> None:
    upstream.next("status=500")
    with pytest.raises(ollama.ResponseError) as caught:
        wayne.chat(model=MODEL, messages=HELLO)
    assert (caught.value.status_code, caught.value.error) == (500, "the simulated vendor was ordered to fail")
