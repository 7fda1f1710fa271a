"""LiteLLM's client through the gate, in four dialects."""

from __future__ import annotations

import dataclasses

import litellm
import pytest

from conftest import KEY
from refusals import CARD
from servers import Upstream

litellm.telemetry = False
litellm.suppress_debug_info = True

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


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How LiteLLM is pointed at the gate."""

    provider: str
    model: str
    path: str
    streams: bool = True
    more: dict[str, object] = dataclasses.field(default_factory=dict)

    def ask(self, door: str, model: str | None = None, **more: object):
        return litellm.completion(
            model=f"{self.provider}/{model or self.model}",
            api_base=f"{door}{self.path}",
            api_key=KEY,
            num_retries=0,
            timeout=30,
            **{"messages": HELLO, **self.more, **more},
        )

    @property
    def answer(self) -> str:
        return f"This is the simulated answer of {self.model}."


# LiteLLM gives its Ollama requests no content type, which the gate insists on.
LABELLED = {"extra_headers": {"content-type": "application/json"}}
DIALECTS = {
    "openai": Dialect("openai", "gpt-4o-mini", "/v1"),
    "anthropic": Dialect("anthropic", "claude-sonnet-4-5", ""),
    # LiteLLM reads a stream of Cohere's as lines of JSON, and gives up at the first `event:` of one.
    "cohere": Dialect("cohere_chat", "command-a-03-2025", "/v2/chat", streams=False),
    "ollama": Dialect("ollama_chat", "llama3.2", "", more=LABELLED),
    "ollama-generate": Dialect("ollama", "llama3.2", "", more=LABELLED),
}
STREAMING = [name for name, dialect in DIALECTS.items() if dialect.streams]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_chat_is_answered(door: str, name: str) -> None:
    dialect = DIALECTS[name]
    answer = dialect.ask(door, max_tokens=50, temperature=0.1, top_p=0.9, stop=["END"])
    assert answer.choices[0].message.content.strip() == dialect.answer
    assert answer.usage.total_tokens > 0


@pytest.mark.parametrize("name", STREAMING)
def test_a_chat_is_streamed(door: str, name: str) -> None:
    dialect = DIALECTS[name]
    chunks = list(dialect.ask(door, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.strip() == dialect.answer
    assert len(chunks) > 3


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "ollama-generate"])
def test_a_tool_is_called_and_its_result_goes_back(door: str, name: str) -> None:
    dialect = DIALECTS[name]
    first = dialect.ask(door, tools=TOOLS).choices[0].message
    assert first.tool_calls[0].function.name == "look_up_weather"
    call = first.tool_calls[0].id
    result = {"role": "tool", "tool_call_id": call, "name": "look_up_weather", "content": "7 degrees"}
    second = dialect.ask(door, messages=[*HELLO, first, result], tools=TOOLS)
    assert second.choices[0].message.content.strip() == dialect.answer


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "cohere"])
def test_a_schema_with_a_property_called_model_passes(door: str, name: str) -> None:
    schema = {"type": "object", "properties": {"model": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "choice", "schema": schema}}
    assert DIALECTS[name].ask(door, response_format=wanted).choices


def test_texts_are_embedded_and_documents_reranked(door: str) -> None:
    for model, path in [
        ("openai/text-embedding-3-small", "/v1"),
        ("cohere/embed-v4.0", "/v2/embed"),
        ("ollama/llama3.2", ""),
    ]:
        answer = litellm.embedding(model=model, input=["one", "two"], api_base=f"{door}{path}", api_key=KEY)
        assert len(answer.data) == 2, model
    ranked = litellm.rerank(
        model="cohere/rerank-v3.5",
        query="q",
        documents=["a", "b"],
        top_n=1,
        api_base=f"{door}/v2/rerank",
        api_key=KEY,
    )
    assert [result["index"] for result in ranked.results] == [0]


def test_a_response_is_answered(door: str) -> None:
    answer = litellm.responses(model="openai/gpt-4o-mini", input="Say hello.", api_base=f"{door}/v1", api_key=KEY)
    assert answer.output[0].content[0].text == DIALECTS["openai"].answer


REFUSED = {
    "unknown": ({"model": "rogue-model"}, 403, "model_unknown"),
    "pending": ({"model": "gpt-4o"}, 403, "model_not_approved"),
    "another-operation": ({"model": "embed-v4.0"}, 403, "operation_not_permitted"),
    "card-number": (
        {"messages": [{"role": "user", "content": f"Please charge {CARD} today."}]},
        403,
        "risk_blocked",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", DIALECTS)
def test_a_refusal_is_an_error_with_its_status_and_our_code(
    door: str, upstream: Upstream, name: str, stream: bool, case: str
) -> None:
    more, status, code = REFUSED[case]
    # Of OpenAI's 403 LiteLLM makes its general error, of the others' `PermissionDeniedError`; both have the status.
    with pytest.raises((litellm.PermissionDeniedError, litellm.APIError)) as caught:
        answer = DIALECTS[name].ask(door, stream=stream, **more)
        list(answer) if stream else None
    assert caught.value.status_code == status
    assert f"[{code}]" in str(caught.value)
    assert upstream.heard() == [], "a refused request reached the upstream"


@pytest.mark.parametrize("name", DIALECTS)
def test_second_models_do_not_pass(door: str, upstream: Upstream, name: str) -> None:
    with pytest.raises(litellm.BadRequestError) as caught:
        DIALECTS[name].ask(door, extra_body={"models": ["rogue-model"]})
    assert "[unsupported_parameter]" in str(caught.value)
    assert upstream.heard() == []


@pytest.mark.parametrize("name", STREAMING)
def test_a_stream_that_is_cut_is_an_error(door: str, upstream: Upstream, name: str) -> None:
    upstream.next("chunks=20,cut_after=4")
    with pytest.raises(Exception) as caught:
        list(DIALECTS[name].ask(door, stream=True))
    assert "upstream_failed" in str(caught.value) or "broke off" in str(caught.value)
