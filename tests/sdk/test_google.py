"""What must work with Google's SDK: the Gemini API, Vertex AI and its express mode; and Anthropic's SDK for Vertex AI."""

from __future__ import annotations

import time
from collections.abc import Iterator

import anthropic
import google.oauth2.credentials
import pytest
from google import genai
from google.genai import types

from servers import Upstream

MODEL = "gemini-2.5-flash"
ANSWER = f"This is the simulated answer of {MODEL}."
PLACE = "/v1beta1/projects/p-1/locations/europe-west4/publishers/google/models"
MODES = ["gemini", "vertex", "express"]


def look_up_weather(city: str) -> str:
    """Looks up the weather of a city."""
    return f"sunny in {city}"


DECLARED = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="look_up_weather",
            description="Looks up the weather of a city.",
            parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}},
        )
    ]
)


def client_in(mode: str, door: str, key: str, project: str = "p-1") -> genai.Client:
    options = types.HttpOptions(base_url=door, timeout=30_000)
    if mode == "gemini":
        return genai.Client(api_key=key, http_options=options)
    if mode == "express":
        return genai.Client(vertexai=True, api_key=key, http_options=options)
    token = google.oauth2.credentials.Credentials(token=key)
    return genai.Client(
        vertexai=True, project=project, location="europe-west4", credentials=token, http_options=options
    )


@pytest.fixture(params=MODES)
def client(request: pytest.FixtureRequest, door: str, umbrella_key: str) -> Iterator[genai.Client]:
    with client_in(request.param, door, umbrella_key) as made:
        yield made


@pytest.fixture
def gemini(door: str, umbrella_key: str) -> Iterator[genai.Client]:
    with client_in("gemini", door, umbrella_key) as made:
        yield made


@pytest.fixture
def vertex(door: str, umbrella_key: str) -> Iterator[genai.Client]:
    with client_in("vertex", door, umbrella_key) as made:
        yield made


def test_a_call_is_answered(client: genai.Client, upstream: Upstream) -> None:
    answer = client.models.generate_content(
        model=MODEL, contents="Say hello.", config=types.GenerateContentConfig(system_instruction="Be kind.")
    )
    assert answer.text == ANSWER
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.candidates_token_count == 7
    assert upstream.only_heard().target.endswith(f"/models/{MODEL}:generateContent")


def test_a_stream_comes_piece_by_piece(client: genai.Client, upstream: Upstream) -> None:
    pieces = list(client.models.generate_content_stream(model=MODEL, contents="Say hello."))
    assert len(pieces) == 7 and "".join(piece.text for piece in pieces) == ANSWER
    assert pieces[-1].usage_metadata.candidates_token_count == 7
    assert upstream.only_heard().target.endswith(":streamGenerateContent?alt=sse")


def test_a_stream_is_not_held_back(gemini: genai.Client, upstream: Upstream) -> None:
    upstream.next("chunks=6,pause_ms=150")
    arrivals = [time.monotonic() for _ in gemini.models.generate_content_stream(model=MODEL, contents="x")]
    assert len(arrivals) == 6 and arrivals[-1] - arrivals[0] > 0.5, "the pieces came all at once"


def test_a_function_is_called_and_its_result_answered(client: genai.Client) -> None:
    config = types.GenerateContentConfig(tools=[DECLARED])
    asked = types.Content(role="user", parts=[types.Part(text="How is the weather?")])
    first = client.models.generate_content(model=MODEL, contents=[asked], config=config)
    assert [call.name for call in first.function_calls] == ["look_up_weather"]
    result = types.Part.from_function_response(name="look_up_weather", response={"sky": "blue", "model": "any"})
    turns = [asked, first.candidates[0].content, types.Content(role="user", parts=[result])]
    assert client.models.generate_content(model=MODEL, contents=turns, config=config).text == ANSWER


def test_a_function_is_called_in_a_stream(client: genai.Client) -> None:
    config = types.GenerateContentConfig(tools=[DECLARED])
    pieces = list(client.models.generate_content_stream(model=MODEL, contents="x", config=config))
    assert [call.name for piece in pieces for call in piece.function_calls or []] == ["look_up_weather"]


def test_python_functions_are_called_by_the_sdk_itself(gemini: genai.Client, upstream: Upstream) -> None:
    # The SDK sends the declaration, calls the function with what the model asks for, and sends the result.
    config = types.GenerateContentConfig(tools=[look_up_weather])
    gemini.models.generate_content(model=MODEL, contents="x", config=config)
    assert len(upstream.heard()) == 2


def test_a_chat_carries_its_history(client: genai.Client, upstream: Upstream) -> None:
    chat = client.chats.create(model=MODEL)
    assert chat.send_message("one").text == chat.send_message("two").text == ANSWER
    assert upstream.heard()[1].body.count(b'"role"') == 3


def test_media_and_settings_pass(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        candidate_count=1,
        max_output_tokens=100,
        stop_sequences=["END"],
        seed=7,
        response_mime_type="application/json",
        response_schema={"type": "OBJECT", "properties": {"model": {"type": "STRING"}}},
        safety_settings=[types.SafetySetting(category="HARM_CATEGORY_HATE_SPEECH", threshold="BLOCK_NONE")],
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=128),
        tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="NONE")),
        labels={"team": "support"},
        media_resolution="MEDIA_RESOLUTION_LOW",
    )
    picture = types.Part.from_bytes(data=b"\x89PNG\r\n" * 40, mime_type="image/png")
    assert client.models.generate_content(model=MODEL, contents=[picture, "What is it?"], config=config).text == ANSWER


def test_tokens_are_counted(client: genai.Client) -> None:
    assert client.models.count_tokens(model=MODEL, contents="Say hello.").total_tokens > 0


def test_embeddings_come_in_the_order_of_the_texts(gemini: genai.Client, upstream: Upstream) -> None:
    config = types.EmbedContentConfig(output_dimensionality=8, task_type="RETRIEVAL_DOCUMENT", title="t")
    answer = gemini.models.embed_content(model="gemini-embedding-001", contents=["a", "b", "a"], config=config)
    first, second, third = [embedding.values for embedding in answer.embeddings]
    assert first == third != second and len(first) == 8
    assert upstream.only_heard().target.endswith("/models/gemini-embedding-001:batchEmbedContents")


def test_embeddings_of_vertex_are_predictions(vertex: genai.Client, upstream: Upstream) -> None:
    config = types.EmbedContentConfig(output_dimensionality=8, task_type="RETRIEVAL_QUERY", auto_truncate=False)
    answer = vertex.models.embed_content(model="text-embedding-005", contents=["a", "b"], config=config)
    assert [len(embedding.values) for embedding in answer.embeddings] == [8, 8]
    assert upstream.only_heard().target == f"{PLACE}/text-embedding-005:predict"


@pytest.mark.anyio
async def test_the_async_client_is_answered_and_streamed_to(door: str, umbrella_key: str) -> None:
    client = client_in("gemini", door, umbrella_key)
    plain = await client.aio.models.generate_content(model=MODEL, contents="Say hello.")
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents="Say hello.")
    assert plain.text == "".join([piece.text async for piece in stream]) == ANSWER
    await client.aio.aclose()


@pytest.mark.gate
def test_a_pinned_model_is_asked_for_by_its_pin(client: genai.Client, upstream: Upstream) -> None:
    answer = client.models.generate_content(model="gemini-pinned", contents="Say hello.")
    assert answer.text == "This is the simulated answer of gemini-2.5-flash-001."
    assert upstream.only_heard().target.endswith("/models/gemini-2.5-flash-001:generateContent")


@pytest.mark.gate
def test_the_models_are_those_that_the_tenant_may_use(gemini: genai.Client, upstream: Upstream) -> None:
    names = [model.name for model in gemini.models.list()]
    assert "models/gemini-2.5-flash" in names and "models/gpt-4o" not in names
    assert upstream.heard() == [], "the list is the registry's, not the upstream's"


@pytest.mark.gate
def test_an_upstream_of_one_place_is_asked_there(vertex: genai.Client, upstream: Upstream) -> None:
    assert vertex.models.generate_content(model="gemini-of-one-place", contents="x").text
    heard = upstream.only_heard()
    assert heard.target == f"{PLACE}/gemini-of-one-place:generateContent"
    assert heard.header("authorization") == "Bearer sk-upstream-credential"
    assert heard.header("x-goog-api-key") is None


@pytest.fixture
def claude(door: str, umbrella_key: str) -> Iterator[anthropic.AnthropicVertex]:
    with anthropic.AnthropicVertex(
        base_url=f"{door}/v1", project_id="p-1", region="europe-west4", access_token=umbrella_key, max_retries=0
    ) as made:
        yield made


def test_anthropics_sdk_for_vertex_is_answered_and_streamed_to(claude: anthropic.AnthropicVertex) -> None:
    hello = [{"role": "user", "content": "Say hello."}]
    plain = claude.messages.create(model="claude-sonnet-4-5", max_tokens=100, messages=hello)
    with claude.messages.stream(model="claude-sonnet-4-5", max_tokens=100, messages=hello) as stream:
        streamed = stream.get_final_text()
    assert plain.content[0].text == streamed == "This is the simulated answer of claude-sonnet-4-5."


def test_anthropics_sdk_for_vertex_counts(claude: anthropic.AnthropicVertex, upstream: Upstream) -> None:
    counted = claude.messages.count_tokens(model="claude-sonnet-4-5", messages=[{"role": "user", "content": "x"}])
    assert counted.input_tokens > 0
    assert upstream.only_heard().target.endswith("/publishers/anthropic/models/count-tokens:rawPredict")
