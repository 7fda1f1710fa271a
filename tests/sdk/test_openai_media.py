"""OpenAI's images, audio and moderations, and what a tenant with an upstream of its own may refer to."""

from __future__ import annotations

import json
from collections.abc import Callable

import openai
import pytest

from servers import Upstream

SOUND = ("über den wolken.mp3", b"ID3\x04\x00\x00\xff\xfb\x90", "audio/mpeg")
PNG = b"\x89PNG\r\n\x1a\n--\x00\xff"


@pytest.fixture
def piper(openai_for: Callable[[str], openai.OpenAI]) -> openai.OpenAI:
    return openai_for("piper")


def test_an_image_is_made(piper: openai.OpenAI) -> None:
    made = piper.images.generate(model="own-image", prompt="a portcullis", size="1024x1024", quality="low", n=1)
    assert made.data and made.data[0].b64_json
    assert made.usage and made.usage.output_tokens > 0


def test_an_image_comes_as_a_stream(piper: openai.OpenAI) -> None:
    events = list(piper.images.generate(model="own-image", prompt="a gate", stream=True, partial_images=1))
    assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"]


@pytest.mark.gate
def test_images_are_edited_under_the_pinned_name(piper: openai.OpenAI, upstream: Upstream) -> None:
    piper.images.edit(
        model="own-image", image=[("a.png", PNG, "image/png"), PNG], mask=PNG, prompt="a gate\nin iron", n=2
    )
    heard = upstream.only_heard()
    assert heard.header("content-type").startswith("multipart/form-data; boundary=")
    assert b'name="model"\r\n\r\nown-image-2026\r\n' in heard.body
    assert heard.body.count(PNG) == 3 and heard.body.count(b'name="image[]"') == 2


def test_one_image_is_edited_as_a_stream_and_varied(piper: openai.OpenAI) -> None:
    events = list(piper.images.edit(model="own-image", image=PNG, prompt="x", stream=True))
    assert events[-1].type == "image_edit.completed"
    assert piper.images.create_variation(model="own-image", image=PNG, n=1, size="256x256").data


def test_speech_comes_as_sound_and_as_events(piper: openai.OpenAI) -> None:
    spoken = piper.audio.speech.create(model="own-sound", voice="alloy", input="Open the gate.", instructions="Loudly.")
    assert spoken.read().startswith(b"ID3")
    with piper.audio.speech.with_streaming_response.create(
        model="own-sound", voice="alloy", input="Open the gate.", stream_format="sse"
    ) as answer:
        assert "speech.audio.done" in "".join(answer.iter_text())


def test_speech_is_transcribed_in_every_form(piper: openai.OpenAI) -> None:
    plain = piper.audio.transcriptions.create(
        model="own-sound",
        file=SOUND,
        language="en",
        prompt="names: Portcullis",
        temperature=0.2,
        include=["logprobs"],
        chunking_strategy={"type": "server_vad", "threshold": 0.5},
    )
    assert plain.text
    verbose = piper.audio.transcriptions.create(
        model="own-sound", file=SOUND, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert verbose.duration == 1.5
    assert piper.audio.transcriptions.create(model="own-sound", file=SOUND, response_format="text").strip()
    assert piper.audio.translations.create(model="own-sound", file=SOUND).text


def test_a_transcript_comes_as_a_stream(piper: openai.OpenAI) -> None:
    events = list(piper.audio.transcriptions.create(model="own-sound", file=SOUND, stream=True))
    assert events[0].type == "transcript.text.delta" and events[-1].type == "transcript.text.done"


def test_texts_and_images_are_moderated(piper: openai.OpenAI) -> None:
    assert len(piper.moderations.create(model="own-moderation", input=["a", "b"]).results) == 2
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    assert not piper.moderations.create(model="own-moderation", input=parts).results[0].flagged


def refused(call: Callable[[], object], code: str, kind: type[openai.APIStatusError]) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code


@pytest.mark.gate
def test_what_is_not_governed_does_not_pass(piper: openai.OpenAI, acme: openai.OpenAI, upstream: Upstream) -> None:
    denied, bad = openai.PermissionDeniedError, openai.BadRequestError
    refused(lambda: piper.images.generate(model="rogue", prompt="x"), "model_unknown", denied)
    refused(lambda: piper.images.generate(prompt="x"), "model_missing", bad)
    refused(lambda: piper.images.generate(model="own-sound", prompt="x"), "operation_not_permitted", denied)
    refused(lambda: piper.images.edit(model="rogue", image=PNG, prompt="x"), "model_unknown", denied)
    refused(lambda: piper.audio.transcriptions.create(model="rogue", file=SOUND), "model_unknown", denied)
    second = {"svg": {"model": "rogue"}}
    refused(
        lambda: piper.images.generate(model="own-image", prompt="x", extra_body=second), "unsupported_parameter", bad
    )
    refused(
        lambda: piper.audio.transcriptions.create(model="own-sound", file=SOUND, extra_body={"fallbacks": "rogue"}),
        "unsupported_parameter",
        bad,
    )
    card = "my card is 4111 1111 1111 1111"
    refused(lambda: piper.images.edit(model="own-image", image=PNG, prompt=card), "risk_blocked", denied)
    voice = {"id": "voice_1"}
    refused(
        lambda: acme.audio.speech.create(model="gpt-4o-mini", voice=voice, input="x"), "reference_not_permitted", denied
    )
    assert upstream.heard() == []


@pytest.mark.gate
def test_stored_things_pass_where_the_upstream_is_the_tenants_alone(
    piper: openai.OpenAI, acme: openai.OpenAI, upstream: Upstream
) -> None:
    def ask(client: openai.OpenAI, model: str) -> list[Callable[[], object]]:
        create = client.responses.create
        picture = [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1", "detail": "auto"}]}]
        search = {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 3}
        code = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"], "memory_limit": "4g"}}
        return [
            lambda: create(model=model, input="x", previous_response_id="resp_1"),
            lambda: create(model=model, input="x", conversation="conv_1"),
            lambda: create(model=model, input="x", conversation={"id": "conv_1"}),
            lambda: create(model=model, input=picture),
            lambda: create(model=model, input=[{"type": "item_reference", "id": "msg_1"}]),
            lambda: create(model=model, input="x", tools=[search], tool_choice={"type": "file_search"}),
            lambda: create(model=model, input="x", tools=[code]),
        ]

    for call in ask(piper, "own-chat"):
        call()
    assert len(upstream.heard()) == 7
    upstream.forget()
    for call in ask(acme, "gpt-4o-mini"):
        refused(call, "reference_not_permitted", openai.PermissionDeniedError)
    assert upstream.heard() == []


@pytest.mark.gate
def test_places_pass_where_the_tenants_list_has_them(piper: openai.OpenAI, upstream: Upstream) -> None:
    def mcp(**more: object) -> Callable[[], object]:
        tool = {"type": "mcp", "server_label": "piper", "require_approval": "never", **more}
        return lambda: piper.responses.create(model="own-chat", input="x", tools=[tool])

    def image(url: str) -> Callable[[], object]:
        content = [{"type": "image_url", "image_url": {"url": url}}]
        return lambda: piper.chat.completions.create(
            model="own-chat", messages=[{"role": "user", "content": content}]
        )

    permitted = [
        mcp(server_url="https://mcp.piper.example/sse", allowed_tools=["search"], authorization="token-1"),
        mcp(server_url="https://mcp.piper.example/sse", headers={"x-team": "gates"}),
        mcp(connector_id="connector_dropbox", authorization="token-1"),
        image("https://images.piper.example/a/b.png?size=2"),
    ]
    for call in permitted:
        call()
    assert len(upstream.heard()) == len(permitted)
    upstream.forget()
    for call in [
        mcp(server_url="https://mcp.piper.example/ssex"),
        mcp(server_url="https://mcp.piper.example/sse", connector_id="connector_dropbox"),
        mcp(server_url="https://mcp.piper.example@evil.example/sse"),
        mcp(server_url="http://mcp.piper.example/sse"),
        mcp(connector_id="connector_gmail"),
        mcp(tunnel_id="tunnel_1"),
        mcp(),
        image("https://IMAGES.piper.example/a.png"),
        image("https://images.piper.example\\@evil.example/a.png"),
        image("http://169.254.169.254/latest"),
    ]:
        refused(call, "reference_not_permitted", openai.PermissionDeniedError)
    assert upstream.heard() == []


@pytest.mark.gate
def test_what_the_provider_would_search_or_paint_stays_refused(piper: openai.OpenAI, upstream: Upstream) -> None:
    for tool in [
        {"type": "web_search"},
        {"type": "code_interpreter", "container": {"type": "auto", "network_policy": {"type": "allowlist"}}},
    ]:
        refused(
            lambda tool=tool: piper.responses.create(model="own-chat", input="x", tools=[tool]),
            "reference_not_permitted",
            openai.PermissionDeniedError,
        )
    refused(
        lambda: piper.responses.create(model="own-chat", input="x", tools=[{"type": "image_generation"}]),
        "unsupported_parameter",
        openai.BadRequestError,
    )
    assert json.dumps([heard.target for heard in upstream.heard()]) == "[]"
