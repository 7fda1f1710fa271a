"""Every refusal is Google's own typed error, with our code among its details, and nothing reaches the upstream."""

from __future__ import annotations

import json
from collections.abc import Callable

import anthropic
import httpx
import pytest
from google import genai
from google.genai import errors, types

from refusals import CARD, code_of
from servers import Upstream
from test_google import MODEL, MODES, client_in

pytestmark = pytest.mark.gate

Call = Callable[[genai.Client], object]


def generate(model: str = MODEL, contents: object = "Say hello.", **config: object) -> Call:
    settings = types.GenerateContentConfig(**config)
    return lambda client: client.models.generate_content(model=model, contents=contents, config=settings)


def with_body(**extra: object) -> Call:
    return generate(http_options=types.HttpOptions(extra_body=extra))


CASES: dict[str, tuple[Call, int, str, str]] = {
    "unknown": (generate("rogue-model"), 403, "PERMISSION_DENIED", "model_unknown"),
    "not-approved": (generate("gpt-4o"), 403, "PERMISSION_DENIED", "model_not_approved"),
    "unknown-in-a-stream": (
        lambda c: list(c.models.generate_content_stream(model="rogue-model", contents="x")),
        403,
        "PERMISSION_DENIED",
        "model_unknown",
    ),
    "unknown-to-count": (
        lambda c: c.models.count_tokens(model="rogue-model", contents="x"),
        403,
        "PERMISSION_DENIED",
        "model_unknown",
    ),
    "unknown-to-embed": (
        lambda c: c.models.embed_content(model="rogue-embedding-1", contents="x"),
        403,
        "PERMISSION_DENIED",
        "model_unknown",
    ),
    "operation": (generate("text-embedding-005"), 403, "PERMISSION_DENIED", "operation_not_permitted"),
    "card-number": (generate(contents=f"Please charge {CARD} today."), 403, "PERMISSION_DENIED", "risk_blocked"),
    "card-number-in-an-instruction": (
        generate(system_instruction=f"The customer pays with {CARD}."),
        403,
        "PERMISSION_DENIED",
        "risk_blocked",
    ),
    "card-number-in-a-result": (
        generate(contents=[types.Part.from_function_response(name="f", response={"pan": CARD})]),
        403,
        "PERMISSION_DENIED",
        "risk_blocked",
    ),
    "cache": (generate(cached_content="cachedContents/x"), 403, "PERMISSION_DENIED", "reference_not_permitted"),
    "file": (
        generate(contents=[types.Part.from_uri(file_uri="gs://bucket/a.pdf", mime_type="application/pdf")]),
        403,
        "PERMISSION_DENIED",
        "reference_not_permitted",
    ),
    "search": (
        generate(tools=[types.Tool(google_search=types.GoogleSearch())]),
        403,
        "PERMISSION_DENIED",
        "reference_not_permitted",
    ),
    "code-execution": (
        generate(tools=[types.Tool(code_execution=types.ToolCodeExecution())]),
        403,
        "PERMISSION_DENIED",
        "reference_not_permitted",
    ),
    "second-model": (with_body(model="models/rogue-model"), 400, "INVALID_ARGUMENT", "ambiguous_request"),
    "two-spellings": (
        with_body(system_instruction={"parts": []}, systemInstruction={"parts": []}),
        400,
        "INVALID_ARGUMENT",
        "ambiguous_request",
    ),
    "unknown-member": (with_body(fallbacks=["rogue-model"]), 400, "INVALID_ARGUMENT", "unsupported_parameter"),
}


def refused(error: errors.APIError, status: int, word: str, reason: str) -> None:
    assert (error.code, error.status) == (status, word)
    assert [detail["reason"] for detail in error.details["error"]["details"]] == [reason]
    assert f"[{reason}]" in error.message
    assert error.response.headers["x-portcullis-reason"] == reason
    assert "#" in error.response.headers["x-portcullis-audit"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_a_client_error(name: str, mode: str, door: str, umbrella_key: str, upstream: Upstream) -> None:
    call, status, word, reason = CASES[name]
    with client_in(mode, door, umbrella_key) as client, pytest.raises(errors.ClientError) as caught:
        call(client)
    refused(caught.value, status, word, reason)
    assert upstream.heard() == []


def test_a_key_that_nobody_gave_out_is_unauthenticated(door: str, upstream: Upstream) -> None:
    with client_in("gemini", door, "AIza-not-of-the-gate") as client, pytest.raises(errors.ClientError) as caught:
        generate()(client)
    refused(caught.value, 401, "UNAUTHENTICATED", "credential_invalid")
    assert upstream.heard() == []


def test_a_key_in_the_query_is_no_credential(door: str, umbrella_key: str, upstream: Upstream) -> None:
    answer = httpx.post(f"{door}/v1beta/models/{MODEL}:generateContent?key={umbrella_key}", json={"contents": []})
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert upstream.heard() == []


def test_tuned_models_and_caches_have_no_route(door: str, umbrella_key: str, upstream: Upstream) -> None:
    with client_in("gemini", door, umbrella_key) as client:
        for call in (generate("tunedModels/x"), lambda c: c.caches.create(model=MODEL, config={"contents": "x"})):
            with pytest.raises(errors.ClientError) as caught:
                call(client)
            refused(caught.value, 404, "NOT_FOUND", "unsupported_operation")
    assert upstream.heard() == []


@pytest.mark.parametrize(("mode", "project"), [("vertex", "p-2"), ("express", "p-1"), ("gemini", "p-1")])
def test_an_upstream_of_one_place_is_asked_nowhere_else(
    mode: str, project: str, door: str, umbrella_key: str, upstream: Upstream
) -> None:
    with client_in(mode, door, umbrella_key, project) as client, pytest.raises(errors.ClientError) as caught:
        generate("gemini-of-one-place")(client)
    refused(caught.value, 403, "PERMISSION_DENIED", "model_not_permitted")
    assert upstream.heard() == []


def test_what_the_upstream_says_is_the_sdks_error(door: str, umbrella_key: str, upstream: Upstream) -> None:
    with client_in("gemini", door, umbrella_key) as client:
        upstream.next("status=429")
        with pytest.raises(errors.ClientError) as limited:
            generate()(client)
        upstream.next("status=503")
        with pytest.raises(errors.ServerError) as failed:
            generate()(client)
    assert (limited.value.status, failed.value.status) == ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


def test_a_stream_that_is_cut_ends_with_an_error(door: str, umbrella_key: str, upstream: Upstream) -> None:
    upstream.next("chunks=5,cut_after=2")
    pieces = []
    with client_in("gemini", door, umbrella_key) as client, pytest.raises(errors.ServerError) as caught:
        for piece in client.models.generate_content_stream(model=MODEL, contents="x"):
            pieces.append(piece.text)
    assert pieces == ["word1 ", "word2 "]
    assert caught.value.details["error"]["details"][0]["reason"] == "upstream_failed"


def test_a_list_that_streams_comes_whole_or_is_broken_off(door: str, umbrella_key: str, upstream: Upstream) -> None:
    target = f"{door}/v1beta/models/{MODEL}:streamGenerateContent"
    ask = {"headers": {"x-goog-api-key": umbrella_key}, "json": {"contents": [{"parts": [{"text": "x"}]}]}}
    whole = httpx.post(target, **ask)
    texts = [piece["candidates"][0]["content"]["parts"][0]["text"] for piece in whole.json()]
    assert "".join(texts) == f"This is the simulated answer of {MODEL}."
    upstream.next("chunks=5,cut_after=2")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(target, **ask)


def test_a_list_is_not_held_back(door: str, umbrella_key: str, upstream: Upstream) -> None:
    upstream.next("chunks=3,pause_ms=300")
    target = f"{door}/v1beta/models/{MODEL}:streamGenerateContent"
    headers = {"x-goog-api-key": umbrella_key}
    with httpx.stream("POST", target, headers=headers, json={"contents": []}) as answer:
        chunks = [chunk for chunk in answer.iter_raw()]
    assert len(chunks) > 2, "the pieces came all at once"
    assert len(json.loads(b"".join(chunks))) == 3


def test_a_refusal_to_anthropics_sdk_for_vertex_is_anthropics(door: str, umbrella_key: str, upstream: Upstream) -> None:
    hello = [{"role": "user", "content": "x"}]
    with anthropic.AnthropicVertex(
        base_url=f"{door}/v1", project_id="p-1", region="global", access_token=umbrella_key, max_retries=0
    ) as client:
        for call in (client.messages.create, client.messages.stream):
            with pytest.raises(anthropic.PermissionDeniedError) as caught:
                made = call(model="rogue-model", max_tokens=5, messages=hello)
                made.__enter__()
            assert code_of(caught.value) == "model_unknown"
    assert upstream.heard() == []
