"""Cohere's official SDK through the gate, unchanged but for base URL and key."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import cohere
import pytest
from cohere.core.api_error import ApiError

from refusals import CARD
from servers import Upstream

for name in [name for name in os.environ if name.upper().startswith(("CO_", "COHERE_"))]:
    del os.environ[name]

MODEL = "command-a-03-2025"
ANSWER = f"This is the simulated answer of {MODEL}."
HELLO = [{"role": "user", "content": "Say hello."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up_weather",
            "description": "Its schema has a property called model.",
            "parameters": {"type": "object", "properties": {"model": {"type": "string"}}},
        },
    }
]
RESULT = '{"temperature": 7, "url": "https://weather.example"}'


@pytest.fixture
def cohere_for(door: str, key_of: Callable[[str], str]) -> Callable[[str], cohere.ClientV2]:
    return lambda tenant: cohere.ClientV2(api_key=key_of(tenant), base_url=door, max_retries=0, timeout=30)


@pytest.fixture
def wayne(cohere_for: Callable[[str], cohere.ClientV2]) -> cohere.ClientV2:
    return cohere_for("wayne")


def test_a_chat_is_answered(wayne: cohere.ClientV2) -> None:
    answer = wayne.chat(model=MODEL, messages=HELLO)
    assert answer.message.content[0].text == ANSWER
    assert answer.finish_reason == "COMPLETE"
    assert answer.usage.tokens.input_tokens > answer.usage.billed_units.input_tokens > 0


def test_a_streamed_chat_joins_to_the_answer_and_ends_with_its_usage(wayne: cohere.ClientV2) -> None:
    events = list(wayne.chat_stream(model=MODEL, messages=HELLO, max_tokens=50))
    pieces = [event.delta.message.content.text for event in events if event.type == "content-delta"]
    assert "".join(pieces) == ANSWER
    assert events[0].type == "message-start"
    assert events[-1].type == "message-end"
    assert events[-1].delta.usage.tokens.output_tokens == len(pieces)


def test_a_tool_is_called_and_its_result_goes_back(wayne: cohere.ClientV2) -> None:
    first = wayne.chat(model=MODEL, messages=HELLO, tools=TOOLS, strict_tools=True)
    assert first.finish_reason == "TOOL_CALL"
    call = first.message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("look_up_weather", "{}")
    back = {"role": "tool", "tool_call_id": call.id, "content": [{"type": "document", "document": {"data": RESULT}}]}
    second = wayne.chat(model=MODEL, messages=[*HELLO, first.message, back], tools=TOOLS)
    assert second.message.content[0].text == ANSWER


def test_a_tool_call_is_streamed(wayne: cohere.ClientV2) -> None:
    events = list(wayne.chat_stream(model=MODEL, messages=HELLO, tools=TOOLS, tool_choice="REQUIRED"))
    start = next(event for event in events if event.type == "tool-call-start")
    assert start.delta.message.tool_calls.function.name == "look_up_weather"
    parts = [e.delta.message.tool_calls.function.arguments for e in events if e.type == "tool-call-delta"]
    assert "".join(parts) == "{}"


def test_documents_settings_and_an_inline_image_pass(wayne: cohere.ClientV2, upstream: Upstream) -> None:
    picture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    answer = wayne.chat(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Be kind."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": picture}},
                ],
            },
        ],
        documents=["plain", {"id": "1", "data": {"title": "t", "url": "https://a.example"}}],
        citation_options={"mode": "FAST"},
        response_format={"type": "json_object", "json_schema": {"properties": {"model": {"type": "string"}}}},
        safety_mode="CONTEXTUAL",
        stop_sequences=["END"],
        temperature=0.3,
        seed=7,
        frequency_penalty=0.1,
        presence_penalty=0.1,
        k=10,
        p=0.9,
        logprobs=False,
        thinking={"type": "disabled"},
        priority=1,
    )
    assert answer.message.content[0].text == ANSWER
    assert upstream.only_heard().target == "/v2/chat"


def test_texts_and_images_are_embedded(wayne: cohere.ClientV2) -> None:
    answer = wayne.embed(
        model="embed-v4.0",
        texts=["one", "two"],
        input_type="search_document",
        embedding_types=["float"],
        output_dimension=64,
        truncate="END",
    )
    assert [len(vector) for vector in answer.embeddings.float_] == [64, 64]
    assert answer.meta.billed_units.input_tokens > 0
    parts = [{"content": [{"type": "text", "text": "one"}]}]
    assert wayne.embed(model="embed-v4.0", inputs=parts, input_type="search_query", embedding_types=["float"])


def test_documents_are_reranked(wayne: cohere.ClientV2) -> None:
    answer = wayne.rerank(model="rerank-v3.5", query="q", documents=["a", "b", "c"], top_n=2, max_tokens_per_doc=100)
    assert [result.index for result in answer.results] == [0, 1]


# What follows needs the gate.


def chat(model: str = MODEL, text: str = "Say hello.", **more: object):
    return lambda co: co.chat(model=model, messages=[{"role": "user", "content": text}], **more)


def picture_at(url: str):
    part = {"type": "image_url", "image_url": {"url": url}}
    return lambda co: co.chat(model=MODEL, messages=[{"role": "user", "content": [part]}])


REFUSED = {
    "unknown": (chat("rogue-model"), cohere.ForbiddenError, "model_unknown"),
    "unknown-in-a-stream": (
        lambda co: list(co.chat_stream(model="rogue-model", messages=HELLO)),
        cohere.ForbiddenError,
        "model_unknown",
    ),
    "unknown-in-embed": (
        lambda co: co.embed(model="rogue-model", texts=["x"], input_type="clustering", embedding_types=["float"]),
        cohere.ForbiddenError,
        "model_unknown",
    ),
    "unknown-in-rerank": (
        lambda co: co.rerank(model="rogue-model", query="q", documents=["x"]),
        cohere.ForbiddenError,
        "model_unknown",
    ),
    "pending": (chat("gpt-4o"), cohere.ForbiddenError, "model_not_approved"),
    "another-operation": (
        lambda co: co.rerank(model=MODEL, query="q", documents=["x"]),
        cohere.ForbiddenError,
        "operation_not_permitted",
    ),
    "card-number": (chat(text=f"Please charge {CARD} today."), cohere.ForbiddenError, "risk_blocked"),
    "card-number-in-a-document": (
        lambda co: co.rerank(model="rerank-v3.5", query="q", documents=[f"Card {CARD}."]),
        cohere.ForbiddenError,
        "risk_blocked",
    ),
    "internal-image": (picture_at("http://169.254.169.254/x"), cohere.ForbiddenError, "reference_not_permitted"),
    "second-model": (
        chat(request_options={"additional_body_parameters": {"fallbacks": ["rogue-model"]}}),
        cohere.BadRequestError,
        "unsupported_parameter",
    ),
    "parsing": (
        lambda co: co.parse(model=MODEL, document={"type": "image_url", "image_url": {"url": "https://a.example"}}),
        cohere.NotFoundError,
        "unsupported_operation",
    ),
}


@pytest.mark.gate
@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_the_sdks_typed_error_with_our_code(wayne: cohere.ClientV2, upstream: Upstream, case: str) -> None:
    call, error, code = REFUSED[case]
    with pytest.raises(ApiError) as caught:
        call(wayne)
    assert type(caught.value) is error
    assert caught.value.body["code"] == code == caught.value.headers["x-portcullis-reason"]
    assert code in caught.value.body["message"]
    assert caught.value.body["id"] == caught.value.headers["x-request-id"]
    assert upstream.heard() == [], "a refused request reached the upstream"


@pytest.mark.gate
def test_a_key_that_is_not_ours_is_unauthorized(door: str, upstream: Upstream) -> None:
    stranger = cohere.ClientV2(api_key="somebody-elses", base_url=door, max_retries=0)
    with pytest.raises(cohere.UnauthorizedError) as caught:
        stranger.chat(model=MODEL, messages=HELLO)
    assert caught.value.body["code"] == "credential_invalid"
    assert upstream.heard() == []


@pytest.mark.gate
def test_beyond_the_limit_it_is_too_many_requests(cohere_for: Callable[[str], cohere.ClientV2]) -> None:
    client = cohere_for("trickle-cohere")
    for _ in range(2):
        client.chat(model=MODEL, messages=HELLO)
    with pytest.raises(cohere.TooManyRequestsError) as caught:
        client.chat(model=MODEL, messages=HELLO)
    assert caught.value.body["code"] == "request_limit"
    assert int(caught.value.headers["retry-after"]) >= 1


@pytest.mark.gate
def test_the_key_is_swapped_and_client_headers_stay_here(wayne: cohere.ClientV2, upstream: Upstream) -> None:
    wayne.chat(model=MODEL, messages=HELLO)
    heard = upstream.only_heard()
    assert heard.header("authorization") == "Bearer sk-upstream-credential"
    assert not [name for name, _ in heard.headers if name.startswith("x-")]


@pytest.mark.gate
def test_a_stream_that_is_cut_ends_with_an_error_of_the_message(wayne: cohere.ClientV2, upstream: Upstream) -> None:
    upstream.next("chunks=20,cut_after=4")
    events: Iterator = wayne.chat_stream(model=MODEL, messages=HELLO)
    last = list(events)[-1]
    assert (last.type, last.delta.finish_reason) == ("message-end", "ERROR")
    assert "[upstream_failed]" in last.delta.error


@pytest.mark.gate
def test_a_vendors_own_refusal_reaches_the_client_as_its_typed_error(
    wayne: cohere.ClientV2, upstream: Upstream
) -> None:
    upstream.next("status=429")
    with pytest.raises(cohere.TooManyRequestsError):
        wayne.chat(model=MODEL, messages=HELLO)
