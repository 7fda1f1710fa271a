"""OpenAI's SDK in its Azure mode: deployments in the path, `api-version` in the query, the key as `api-key`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import openai
import pytest

from refusals import CARD, assert_sealed, code_of
from servers import Upstream

MODEL = "gpt-4o-mini"
ANSWER = f"This is the simulated answer of {MODEL}."
HELLO = [{"role": "user", "content": "Say hello."}]
VERSION = "2024-10-21"
TOOLS = [{"type": "function", "function": {"name": "look_up_weather", "parameters": {"type": "object"}}}]


def azure_at(door: str, **more: object) -> openai.AzureOpenAI:
    return openai.AzureOpenAI(azure_endpoint=door, api_version=VERSION, max_retries=0, timeout=30, **more)


@pytest.fixture
def azure(door: str, umbrella_key: str) -> Iterator[openai.AzureOpenAI]:
    with azure_at(door, api_key=umbrella_key) as client:
        yield client


def test_a_chat_is_answered(azure: openai.AzureOpenAI, upstream: Upstream) -> None:
    answer = azure.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].content_filter_results["hate"]["severity"] == "safe", "what the filter says passes"
    assert upstream.only_heard().target == f"/openai/deployments/{MODEL}/chat/completions?api-version={VERSION}"


def test_a_chat_is_streamed(azure: openai.AzureOpenAI) -> None:
    chunks = list(azure.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert chunks[0].prompt_filter_results and chunks[0].choices == []
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[1:]) == ANSWER


def test_a_tool_is_called_and_its_result_answered(azure: openai.AzureOpenAI) -> None:
    first = azure.chat.completions.create(model=MODEL, messages=HELLO, tools=TOOLS).choices[0]
    (call,) = first.message.tool_calls
    assert (first.finish_reason, call.function.name) == ("tool_calls", "look_up_weather")
    turns = [*HELLO, first.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = azure.chat.completions.create(model=MODEL, messages=turns, tools=TOOLS)
    assert second.choices[0].message.content == ANSWER


def test_completions_and_embeddings_are_answered(azure: openai.AzureOpenAI, upstream: Upstream) -> None:
    assert azure.completions.create(model=MODEL, prompt="x").choices[0].text == ANSWER
    answer = azure.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=8)
    assert [len(data.embedding) for data in answer.data] == [8, 8]
    targets = [heard.target.split("?")[0] for heard in upstream.heard()]
    assert targets == [
        f"/openai/deployments/{MODEL}/completions",
        "/openai/deployments/text-embedding-3-small/embeddings",
    ]


def test_responses_are_answered_and_streamed(azure: openai.AzureOpenAI, upstream: Upstream) -> None:
    assert azure.responses.create(model=MODEL, input="Say hello.").output_text == ANSWER
    events = list(azure.responses.create(model=MODEL, input="Say hello.", stream=True))
    assert events[-1].type == "response.completed"
    assert {heard.target for heard in upstream.heard()} == {f"/openai/responses?api-version={VERSION}"}


def test_the_first_version_needs_no_azure_mode(door: str, umbrella_key: str, upstream: Upstream) -> None:
    with openai.OpenAI(
        base_url=f"{door}/openai/v1/", api_key=umbrella_key, default_query={"api-version": "preview"}, max_retries=0
    ) as client:
        assert client.chat.completions.create(model=MODEL, messages=HELLO).choices[0].message.content == ANSWER
        assert client.responses.create(model=MODEL, input="x").output_text == ANSWER
        assert client.embeddings.create(model="text-embedding-3-small", input="x").data
    assert upstream.heard()[0].target == "/openai/v1/chat/completions?api-version=preview"


@pytest.mark.anyio
async def test_the_async_client_is_answered(door: str, umbrella_key: str) -> None:
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=door, api_version=VERSION, api_key=umbrella_key, max_retries=0
    ) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == ANSWER


@pytest.mark.gate
def test_the_credential_is_the_gates_towards_the_app_and_ours_towards_azure(door, umbrella_key, upstream) -> None:
    for credential in ({"azure_ad_token": umbrella_key}, {"azure_ad_token_provider": lambda: umbrella_key}):
        with azure_at(door, **credential) as client:
            assert client.chat.completions.create(model=MODEL, messages=HELLO).choices
    for heard in upstream.heard():
        assert heard.header("api-key") == "sk-upstream-credential"
        assert heard.header("authorization") is None


@pytest.mark.gate
def test_a_pinned_deployment_is_written_into_path_and_body(azure: openai.AzureOpenAI, upstream: Upstream) -> None:
    azure.chat.completions.create(model="gpt-pinned", messages=HELLO)
    heard = upstream.only_heard()
    assert heard.target.startswith("/openai/deployments/gpt-4o-mini-2024-07-18/chat/completions?")
    assert b'"model":"gpt-4o-mini-2024-07-18"' in heard.body


Call = Callable[[openai.AzureOpenAI], object]


def chat(model: str = MODEL, text: str = "Say hello.", **more: object) -> Call:
    messages = [{"role": "user", "content": text}]
    return lambda client: client.chat.completions.create(model=model, messages=messages, **more)


CASES: dict[str, tuple[Call, type[openai.APIStatusError], str]] = {
    "unknown": (chat("rogue-model"), openai.PermissionDeniedError, "model_unknown"),
    "unknown-in-a-stream": (chat("rogue-model", stream=True), openai.PermissionDeniedError, "model_unknown"),
    "not-approved": (chat("gpt-4o"), openai.PermissionDeniedError, "model_not_approved"),
    "unknown-response": (
        lambda c: c.responses.create(model="rogue-model", input="x"),
        openai.PermissionDeniedError,
        "model_unknown",
    ),
    "unknown-embedding": (
        lambda c: c.embeddings.create(model="rogue-model", input="x"),
        openai.PermissionDeniedError,
        "model_unknown",
    ),
    "card-number": (chat(text=f"Charge {CARD}."), openai.PermissionDeniedError, "risk_blocked"),
    "own-data": (
        chat(extra_body={"data_sources": [{"type": "azure_search"}]}),
        openai.PermissionDeniedError,
        "reference_not_permitted",
    ),
    "second-model": (chat(extra_body={"model": "rogue-model"}), openai.BadRequestError, "ambiguous_request"),
    "version": (chat(extra_query={"api-version": "2024-10-21&x=1"}), openai.BadRequestError, "ambiguous_request"),
    "stored-response": (
        lambda c: c.responses.create(model=MODEL, input="x", previous_response_id="resp_x"),
        openai.PermissionDeniedError,
        "reference_not_permitted",
    ),
    "read-back": (lambda c: c.responses.retrieve("resp_x"), openai.NotFoundError, "unsupported_operation"),
}


@pytest.mark.gate
@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_the_sdks_own_error(name: str, azure: openai.AzureOpenAI, upstream: Upstream) -> None:
    call, kind, reason = CASES[name]
    with pytest.raises(kind) as caught:
        call(azure)
    assert code_of(caught.value) == reason
    assert_sealed(caught.value)
    assert upstream.heard() == []


@pytest.mark.gate
def test_path_and_body_must_name_one_model(azure: openai.AzureOpenAI, upstream: Upstream) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        azure.post(
            f"/deployments/{MODEL}/chat/completions",
            cast_to=object,
            body={"model": "rogue-model", "messages": HELLO},
        )
    assert code_of(caught.value) == "ambiguous_request"
    assert upstream.heard() == []
