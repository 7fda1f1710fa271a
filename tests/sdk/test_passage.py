"""What the upstream gets, and what the caller gets back, when a call passes."""

from __future__ import annotations

import gzip
import json

import anthropic
import httpx
import openai
import pytest

from conftest import KEYS
from servers import UPSTREAM_KEY, Gate, Upstream

pytestmark = pytest.mark.gate

MODEL = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Say hello."}]

LEGITIMATE = {
    "odd-spacing": b'{ "messages" :[ {"content":"x","role" : "user"}],\n\t"model":"gpt-4o-mini" , "temperature":1.50e0 }',
    "escapes": b'{"model":"gpt\\u002d4o-mini","messages":[{"role":"user","content":"\\u00e4\\ud83d\\ude00\\/"}]}',
    "emoji-with-joiners": '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"👩‍👩‍👧‍👦 and 你好"}]}'.encode(),
    "content-that-quotes-a-model": json.dumps(
        {"model": MODEL, "messages": [{"role": "user", "content": '{"model":"rogue-model"}'}]}
    ).encode(),
    "big-numbers": b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}],"seed":9007199254740993,'
    b'"temperature":0.1000000000000000055}',
    "model-last-after-300-kb": json.dumps(
        {"messages": [{"role": "user", "content": "lorem ipsum " * 25_000}], "model": MODEL}
    ).encode(),
}


def post(gate: Gate, content: bytes, **headers: str) -> httpx.Response:
    fields = {
        "authorization": f"Bearer {KEYS['acme']}",
        "content-type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return httpx.post(f"{gate.url}/v1/chat/completions", content=content, headers=fields, timeout=30)


@pytest.mark.parametrize("case", LEGITIMATE)
def test_the_body_arrives_byte_for_byte(gate: Gate, upstream: Upstream, case: str) -> None:
    assert post(gate, LEGITIMATE[case]).status_code == 200
    heard = upstream.only_heard()
    assert heard.body == LEGITIMATE[case]
    assert heard.header("content-length") == str(len(heard.body))


@pytest.mark.parametrize("case", LEGITIMATE)
def test_a_body_in_gzip_arrives_plain(gate: Gate, upstream: Upstream, case: str) -> None:
    assert post(gate, gzip.compress(LEGITIMATE[case]), content_encoding="gzip").status_code == 200
    heard = upstream.only_heard()
    assert heard.body == LEGITIMATE[case] and heard.header("content-encoding") is None
    assert heard.header("content-length") == str(len(heard.body))


def test_what_the_sdk_sends_arrives_as_it_was_sent(acme: openai.OpenAI, upstream: Upstream) -> None:
    raw = acme.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert upstream.only_heard().body == raw.http_request.content


def test_openais_key_is_swapped_and_client_headers_stay_here(acme: openai.OpenAI, upstream: Upstream) -> None:
    acme.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        extra_headers={
            "openai-organization": "org-x",
            "helicone-property-model": "rogue-model",
            "x-tenant": "acme",
            "x-forwarded-for": "203.0.113.9",
            "cookie": "session=1",
        },
    )
    heard = upstream.only_heard()
    assert heard.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert_nothing_of_the_client(heard.headers, upstream)


def test_anthropics_key_is_swapped_and_its_version_kept(
    acme_claude: anthropic.Anthropic, upstream: Upstream
) -> None:
    raw = acme_claude.messages.with_raw_response.create(model="claude-sonnet-4-5", max_tokens=10, messages=HELLO)
    heard = upstream.only_heard()
    assert (heard.header("x-api-key"), heard.header("authorization")) == (UPSTREAM_KEY, None)
    assert heard.header("anthropic-version") == raw.http_request.headers["anthropic-version"]
    assert_nothing_of_the_client(heard.headers, upstream)


def assert_nothing_of_the_client(headers: list[tuple[str, str]], upstream: Upstream) -> None:
    named = dict(headers)
    assert named["host"] == f"127.0.0.1:{upstream.port}"
    assert "pcl_" not in str(headers), "the gate key went upstream"
    strangers = ("x-stainless", "openai-", "helicone-", "x-tenant", "x-forwarded", "cookie", "x-portcullis")
    assert [name for name in named if name.startswith(strangers)] == []
    assert named.get("accept-encoding", "identity") == "identity"


def test_an_answer_names_its_request_its_decision_and_its_record(acme: openai.OpenAI) -> None:
    seen = []
    for _ in range(2):
        raw = acme.chat.completions.with_raw_response.create(
            model=MODEL, messages=HELLO, extra_headers={"x-request-id": "req-of-mine", "x-correlation-id": "case-7"}
        )
        assert raw.headers["x-request-id"] == "req-of-mine"
        assert raw.headers["x-correlation-id"] == "case-7"
        assert raw.headers["x-portcullis-decision"] == "allow"
        origin, sequence = raw.headers["x-portcullis-audit"].rsplit("#", 1)
        seen.append((origin, int(sequence)))
    (first_origin, first), (second_origin, second) = seen
    assert first_origin == second_origin and second > first, "records are numbered in one log"


def test_a_request_without_a_name_gets_one(acme: openai.OpenAI) -> None:
    raw = acme.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert raw.headers["x-request-id"] not in ("", "req_simulated"), "it must be the gate's, not the upstream's"
    assert raw.headers["x-ratelimit-remaining-requests"] != "4242", "the vendor's limits are not the tenant's"


def test_anthropics_sdk_knows_the_answer_by_the_gates_name(acme_claude: anthropic.Anthropic) -> None:
    answer = acme_claude.messages.create(
        model="claude-sonnet-4-5", max_tokens=10, messages=HELLO, extra_headers={"x-request-id": "req-of-mine"}
    )
    assert answer._request_id == "req-of-mine"


def test_a_tenant_header_may_only_agree_with_the_key(acme: openai.OpenAI, upstream: Upstream) -> None:
    ask = acme.chat.completions.create
    assert ask(model=MODEL, messages=HELLO, extra_headers={"x-portcullis-tenant": "acme"}).choices
    upstream.forget()
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(model=MODEL, messages=HELLO, extra_headers={"x-portcullis-tenant": "globex"})
    assert caught.value.code == "tenant_mismatch"
    assert upstream.heard() == []


def test_health_is_open(gate: Gate) -> None:
    answer = httpx.get(f"{gate.url}/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
