"""Batches of both vendors: judged line by line, refused as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable

import anthropic
import openai
import pytest

from servers import Upstream


@pytest.fixture
def piper(openai_for: Callable[[str], openai.OpenAI]) -> openai.OpenAI:
    return openai_for("piper")


@pytest.fixture
def piper_claude(anthropic_for: Callable[[str], anthropic.Anthropic]) -> anthropic.Anthropic:
    return anthropic_for("piper")


def line(number: int, model: str = "own-chat", **more: object) -> dict[str, object]:
    body = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": f"hello {number}"}], **more}
    return {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def jsonl(*lines: dict[str, object]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in lines).encode()


def test_a_batch_is_uploaded_and_run(piper: openai.OpenAI) -> None:
    uploaded = piper.files.create(
        file=("batch.jsonl", jsonl(line(1), line(2))),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 86400},
    )
    batch = piper.batches.create(
        input_file_id=uploaded.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"night": "shift"},
    )
    assert (batch.status, batch.input_file_id) == ("validating", uploaded.id)


@pytest.mark.gate
def test_every_line_goes_upstream_under_its_pinned_name(piper: openai.OpenAI, upstream: Upstream) -> None:
    piper.files.create(file=("batch.jsonl", jsonl(*(line(n) for n in range(500)))), purpose="batch")
    body = upstream.only_heard().body
    assert body.count(b'"own-chat-2026"') == 500 and body.count(b'"own-chat"') == 0


@pytest.mark.gate
def test_one_bad_line_refuses_the_file(piper: openai.OpenAI, acme: openai.OpenAI, upstream: Upstream) -> None:
    for bad, code in [
        (line(2, model="rogue-model"), "model_unknown"),
        (line(2, model="own-moderation"), "operation_not_permitted"),
        (line(2, fallbacks=["rogue-model"]), "unsupported_parameter"),
        (line(2, messages=[{"role": "user", "content": "card 4111 1111 1111 1111"}]), "risk_blocked"),
        ({**line(2), "url": "/v1/uploads"}, "unsupported_operation"),
        ({**line(2), "method": "GET"}, "malformed_request"),
        ({**line(2), "model": "rogue-model"}, "unsupported_parameter"),
    ]:
        with pytest.raises(openai.APIStatusError) as caught:
            piper.files.create(file=("batch.jsonl", jsonl(line(1), bad, line(3))), purpose="batch")
        assert caught.value.code == code, bad
    for purpose in ["assistants", "fine-tune", "user_data"]:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            piper.files.create(file=("batch.jsonl", jsonl(line(1))), purpose=purpose)
        assert caught.value.code == "reference_not_permitted"
    assert upstream.heard() == []


@pytest.mark.gate
def test_a_stored_batch_runs_only_where_the_upstream_is_the_tenants_alone(
    acme: openai.OpenAI, piper: openai.OpenAI, upstream: Upstream
) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        acme.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert caught.value.code == "reference_not_permitted"
    with pytest.raises(openai.NotFoundError) as missing:
        piper.batches.create(input_file_id="file-1", endpoint="/v1/videos", completion_window="24h")
    assert missing.value.code == "unsupported_operation"
    for read in [lambda: piper.batches.retrieve("batch_1"), lambda: piper.files.content("file-1"), piper.batches.list]:
        with pytest.raises(openai.NotFoundError):
            read()
    assert upstream.heard() == []


def request(number: int, model: str = "own-claude", **more: object) -> dict[str, object]:
    params = {"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": f"hello {number}"}], **more}
    return {"custom_id": f"request-{number}", "params": params}


def test_an_anthropic_batch_is_taken_in(piper_claude: anthropic.Anthropic) -> None:
    batch = piper_claude.messages.batches.create(requests=[request(1), request(2, system="Be brief.")])
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 2)


@pytest.mark.gate
def test_one_bad_request_refuses_the_anthropic_batch(piper_claude: anthropic.Anthropic, upstream: Upstream) -> None:
    for bad in [
        request(2, model="rogue-model"),
        request(2, messages=[{"role": "user", "content": "card 4111 1111 1111 1111"}]),
        request(2, mcp_servers=[{"type": "url", "url": "https://evil.example/", "name": "x"}]),
    ]:
        with pytest.raises(anthropic.PermissionDeniedError):
            piper_claude.messages.batches.create(requests=[request(1), bad])
    with pytest.raises(anthropic.NotFoundError):
        piper_claude.messages.batches.retrieve("msgbatch_1")
    assert upstream.heard() == []
