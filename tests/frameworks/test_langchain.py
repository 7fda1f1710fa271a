"""LangChain's clients through the gate, unchanged but for base URL and key."""

from __future__ import annotations

from collections.abc import Callable

import anthropic
import openai
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from conftest import KEY
from refusals import CARD
from servers import Upstream

GPT = "gpt-4o-mini"
CLAUDE = "claude-sonnet-4-5"


@tool
def look_up_weather(model: str) -> str:
    """Looks the weather up; its schema has a property called model."""
    return f"7 degrees by {model}"


class Choice(BaseModel):
    """What the model is asked to answer with."""

    model: str


def chat(door: str, model: str = GPT) -> BaseChatModel:
    return ChatOpenAI(model=model, base_url=f"{door}/v1", api_key=KEY, max_retries=0)


def responses(door: str, model: str = GPT) -> BaseChatModel:
    return ChatOpenAI(model=model, base_url=f"{door}/v1", api_key=KEY, max_retries=0, use_responses_api=True)


def messages(door: str, model: str = CLAUDE) -> BaseChatModel:
    return ChatAnthropic(model=model, base_url=door, api_key=KEY, max_retries=0)


Client = Callable[..., BaseChatModel]
CLIENTS = {"chat": (chat, GPT), "responses": (responses, GPT), "messages": (messages, CLAUDE)}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> tuple[Client, str]:
    make, model = CLIENTS[request.param]
    return make, f"This is the simulated answer of {model}."


def test_a_chat_is_answered_and_goes_on(door: str, client: tuple[Client, str]) -> None:
    make, answer = client
    first = make(door).invoke([SystemMessage("Be kind."), HumanMessage("Say hello.")])
    assert first.text == answer
    assert first.usage_metadata["total_tokens"] > 0
    assert make(door).invoke([HumanMessage("Say hello."), first, HumanMessage("More.")]).text == answer


def test_a_chat_is_streamed(door: str, client: tuple[Client, str]) -> None:
    make, answer = client
    chunks = list(make(door).stream("Say hello."))
    assert "".join(chunk.text for chunk in chunks) == answer
    assert len(chunks) > 3


def test_a_tool_is_called_and_its_result_goes_back(door: str, client: tuple[Client, str]) -> None:
    make, answer = client
    model = make(door).bind_tools([look_up_weather])
    first: AIMessage = model.invoke("Say hello.")
    assert [call["name"] for call in first.tool_calls] == ["look_up_weather"]
    result = ToolMessage("7 degrees", tool_call_id=first.tool_calls[0]["id"])
    assert model.invoke([HumanMessage("Say hello."), first, result]).text == answer


def test_an_answer_has_the_shape_that_was_asked_for(door: str, client: tuple[Client, str], upstream: Upstream) -> None:
    make, _ = client
    upstream.next('say={"model": "x"}')
    assert make(door).with_structured_output(Choice, method="json_schema").invoke("Choose.") == Choice(model="x")


def test_an_inline_image_passes(door: str, client: tuple[Client, str]) -> None:
    make, answer = client
    image = {"type": "image", "base64": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAf", "mime_type": "image/png"}
    assert make(door).invoke([HumanMessage([{"type": "text", "text": "x"}, image])]).text == answer


def test_text_is_completed_and_embedded(door: str) -> None:
    completion = OpenAI(model=GPT, base_url=f"{door}/v1", api_key=KEY, max_retries=0)
    assert completion.invoke("Say hello.") == f"This is the simulated answer of {GPT}."
    # With its own count of tokens the client would load a vocabulary from the internet.
    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=f"{door}/v1",
        api_key=KEY,
        max_retries=0,
        check_embedding_ctx_length=False,
    )
    assert [len(vector) for vector in embeddings.embed_documents(["one", "two"])] == [1536, 1536]


REFUSED = {
    "unknown": ("rogue-model", "Say hello.", "model_unknown"),
    "pending": ("gpt-4o", "Say hello.", "model_not_approved"),
    "another-operation": ("text-embedding-3-small", "Say hello.", "operation_not_permitted"),
    "card-number": (None, f"Please charge {CARD} today.", "risk_blocked"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_refusal_is_the_typed_error_of_the_sdk_below(
    door: str, client: tuple[Client, str], upstream: Upstream, case: str, way: str
) -> None:
    make, _ = client
    model, text, code = REFUSED[case]
    asked = make(door, model) if model else make(door)
    with pytest.raises((openai.PermissionDeniedError, anthropic.PermissionDeniedError)) as caught:
        asked.invoke(text) if way == "invoke" else list(asked.stream(text))
    assert caught.value.response.headers["x-portcullis-reason"] == code
    assert code in str(caught.value)
    assert upstream.heard() == [], "a refused request reached the upstream"


def test_a_key_that_is_not_ours_is_an_authentication_error(door: str) -> None:
    stranger = ChatOpenAI(model=GPT, base_url=f"{door}/v1", api_key="sk-somebody-elses", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        stranger.invoke("Say hello.")
    assert caught.value.code == "credential_invalid"
