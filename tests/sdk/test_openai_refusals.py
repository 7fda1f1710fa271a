"""Every refusal is the SDK's own typed error, with our code in `error.code`, and nothing reaches the upstream."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import openai
import pytest

from refusals import CARD, CREDENTIAL, assert_sealed, code_of
from servers import Upstream

pytestmark = pytest.mark.gate

MODEL = "gpt-4o-mini"
HELLO = [{"role": "user", "content": "Say hello."}]

Call = Callable[[openai.OpenAI], object]


def chat(model: str = MODEL, text: str = "Say hello.", **more: object) -> Call:
    return lambda client: client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], **more
    )


def raw(path: str, content: bytes, **headers: str) -> Call:
    """Posts these bytes through the SDK's own transport, key and error mapping."""
    fields = {"content-type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}}
    return lambda client: client.post(path, cast_to=object, content=content, options={"headers": fields})


def prompt(reference: str) -> dict[str, object]:
    return {"extra_headers": {"x-portcullis-prompt": reference}}


def refused(
    client: openai.OpenAI, call: Call, error: type[openai.APIStatusError], upstream: Upstream
) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        call(client)
    assert type(caught.value) is error
    assert_sealed(caught.value)
    assert upstream.heard() == [], "a refused request reached the upstream"
    return caught.value


FORBIDDEN = {
    "pending": (chat("gpt-4o"), "model_not_approved"),
    "retired": (chat("old-model"), "model_not_approved"),
    "unacceptable-risk": (chat("forbidden-scorer"), "model_not_approved"),
    "unknown": (chat("rogue-model"), "model_unknown"),
    "unknown-in-a-stream": (chat("rogue-model", stream=True), "model_unknown"),
    "unknown-in-responses": (lambda c: c.responses.create(model="rogue-model", input="x"), "model_unknown"),
    "unknown-in-embeddings": (lambda c: c.embeddings.create(model="rogue-model", input="x"), "model_unknown"),
    "unknown-in-completions": (lambda c: c.completions.create(model="rogue-model", prompt="x"), "model_unknown"),
    "nearly-the-name": (chat("GPT-4o-mini"), "model_unknown"),
    "name-with-a-space": (chat("gpt-4o-mini\u00a0"), "model_unknown"),
    "not-for-this-operation": (chat("text-embedding-3-small"), "operation_not_permitted"),
    "prompt-pending": (chat(**prompt("support-triage@2")), "prompt_not_approved"),
    "prompt-unknown": (chat(**prompt("support-triage@9")), "prompt_unknown"),
    "card-number": (chat(text=f"Please charge {CARD} today."), "risk_blocked"),
    "credential": (chat(text=f"Deploy with the key {CREDENTIAL} please."), "risk_blocked"),
    "card-number-in-a-stream": (chat(text=f"Please charge {CARD} today.", stream=True), "risk_blocked"),
    "stored-response": (
        lambda c: c.responses.create(model=MODEL, input="x", previous_response_id="resp_x"),
        "reference_not_permitted",
    ),
    "internal-image": (
        lambda c: c.chat.completions.create(
            model=MODEL,
            messages=[
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}],
                }
            ],
        ),
        "reference_not_permitted",
    ),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_what_policy_forbids_is_a_permission_denied_error(
    acme: openai.OpenAI, upstream: Upstream, case: str
) -> None:
    call, code = FORBIDDEN[case]
    assert code_of(refused(acme, call, openai.PermissionDeniedError, upstream)) == code


OTHERS = {
    "model-not-permitted": ("hooli", chat("claude-sonnet-4-5"), "model_not_permitted"),
    "prompt-required": ("hooli", chat(), "prompt_required"),
    "rule-denied": ("initech", lambda c: c.completions.create(model=MODEL, prompt="x"), "rule_denied"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_policy_forbids_other_tenants_is_a_permission_denied_error(
    openai_for: Callable[[str], openai.OpenAI], upstream: Upstream, case: str
) -> None:
    tenant, call, code = OTHERS[case]
    assert code_of(refused(openai_for(tenant), call, openai.PermissionDeniedError, upstream)) == code


BAD = {
    "duplicate-model": (
        raw("/chat/completions", b'{"model":"gpt-4o-mini","messages":[],"model":"rogue-model"}'),
        "ambiguous_request",
    ),
    "duplicate-deep-down": (
        raw("/chat/completions", b'{"model":"gpt-4o-mini","messages":[{"role":"user","role":"user","content":"x"}]}'),
        "ambiguous_request",
    ),
    "duplicate-by-escape": (
        raw("/chat/completions", b'{"model":"gpt-4o-mini","messages":[],"\\u006dodel":"rogue-model"}'),
        "ambiguous_request",
    ),
    "two-documents": (
        raw("/chat/completions", b'{"model":"gpt-4o-mini","messages":[]} {}'),
        "malformed_request",
    ),
    "not-utf-8": (
        raw("/chat/completions", b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"\xff"}]}'),
        "malformed_request",
    ),
    "no-model": (raw("/chat/completions", b'{"messages":[]}'), "model_missing"),
    "model-list": (raw("/chat/completions", b'{"model":["gpt-4o-mini"],"messages":[]}'), "model_missing"),
    "second-model": (
        chat(extra_body={"fallbacks": ["rogue-model"]}),
        "unsupported_parameter",
    ),
    "endpoint-of-the-callers-choice": (
        chat(extra_body={"api_base": "http://127.0.0.1:1"}),
        "unsupported_parameter",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_in_one_way_is_a_bad_request_error(
    acme: openai.OpenAI, upstream: Upstream, case: str
) -> None:
    call, code = BAD[case]
    assert code_of(refused(acme, call, openai.BadRequestError, upstream)) == code


UNGOVERNED = {
    "list-files": lambda c: c.files.list(),
    "read-a-response-back": lambda c: c.responses.retrieve("resp_1"),
    "uploads": lambda c: c.uploads.create(bytes=1, filename="x", mime_type="text/plain", purpose="assistants"),
    "fine-tuning": lambda c: c.fine_tuning.jobs.create(model=MODEL, training_file="file_x"),
    "a-path-of-next-year": lambda c: c.post("/telepathy", cast_to=object, body={"model": MODEL}),
}


@pytest.mark.parametrize("case", UNGOVERNED)
def test_what_has_no_rule_is_a_not_found_error(acme: openai.OpenAI, upstream: Upstream, case: str) -> None:
    assert code_of(refused(acme, UNGOVERNED[case], openai.NotFoundError, upstream)) == "unsupported_operation"


def test_a_body_that_is_not_labelled_json_is_refused(acme: openai.OpenAI, upstream: Upstream) -> None:
    call = raw("/chat/completions", b'{"model":"gpt-4o-mini","messages":[]}', content_type="text/csv")
    error = refused(acme, call, openai.APIStatusError, upstream)
    assert (error.status_code, code_of(error)) == (415, "unsupported_encoding")


def test_a_body_in_a_coding_that_nobody_reads_is_refused(acme: openai.OpenAI, upstream: Upstream) -> None:
    packed = gzip.compress(b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}]}')
    error = refused(acme, raw("/chat/completions", packed, content_encoding="br"), openai.APIStatusError, upstream)
    assert (error.status_code, code_of(error)) == (415, "unsupported_encoding")
    error = refused(acme, raw("/chat/completions", packed[:-1], content_encoding="gzip"), openai.BadRequestError, upstream)
    assert code_of(error) == "malformed_request"


def test_no_key_is_an_authentication_error(acme: openai.OpenAI, upstream: Upstream) -> None:
    call = chat(extra_headers={"authorization": openai.Omit()})
    assert code_of(refused(acme, call, openai.AuthenticationError, upstream)) == "credential_missing"


def test_two_keys_are_an_authentication_error(acme: openai.OpenAI, upstream: Upstream) -> None:
    call = chat(extra_headers={"x-api-key": acme.api_key})
    error = refused(acme, call, openai.AuthenticationError, upstream)
    assert code_of(error) == "credential_invalid"


@pytest.mark.parametrize(
    "key",
    ["sk-proj-somebody-elses", "pcl_k1_" + "0" * 64, "pcl_nobody_" + "0" * 64, "pcl_k1_", "pcl__"],
    ids=["other-kind", "wrong-secret", "unknown-id", "no-secret", "empty"],
)
def test_a_bad_key_is_an_authentication_error(door: str, upstream: Upstream, key: str) -> None:
    with openai.OpenAI(base_url=f"{door}/v1", api_key=key, max_retries=0) as client:
        error = refused(client, chat(), openai.AuthenticationError, upstream)
    assert code_of(error) == "credential_invalid"


@pytest.mark.parametrize(("tenant", "code"), [("acme-expired", "credential_expired"), ("acme-disabled", "credential_invalid")])
def test_a_key_that_was_good_is_an_authentication_error(
    openai_for: Callable[[str], openai.OpenAI], upstream: Upstream, tenant: str, code: str
) -> None:
    assert code_of(refused(openai_for(tenant), chat(), openai.AuthenticationError, upstream)) == code


def test_a_refusal_shows_no_content_and_no_key(acme: openai.OpenAI, upstream: Upstream) -> None:
    error = refused(acme, chat(text=f"Please charge {CARD} today."), openai.PermissionDeniedError, upstream)
    shown = error.response.text + str(error.response.headers)
    assert CARD not in shown and "charge" not in shown and acme.api_key not in shown
