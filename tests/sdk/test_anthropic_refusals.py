"""Every refusal is the SDK's own typed error, in Anthropic's words, with our code in message and header."""

from __future__ import annotations

from collections.abc import Callable

import anthropic
import pytest

from refusals import CARD, assert_sealed, code_of
from servers import Upstream

pytestmark = pytest.mark.gate

MODEL = "claude-sonnet-4-5"

Call = Callable[[anthropic.Anthropic], object]


def message(model: str = MODEL, text: str = "Say hello.", **more: object) -> Call:
    return lambda client: client.messages.create(
        model=model, max_tokens=100, messages=[{"role": "user", "content": text}], **more
    )


def raw(content: bytes) -> Call:
    """Posts these bytes through the SDK's own transport, key and error mapping."""
    options = {"headers": {"content-type": "application/json"}}
    return lambda client: client.post("/v1/messages", cast_to=object, content=content, options=options)


CASES = {
    "unknown": (message("rogue-model"), anthropic.PermissionDeniedError, "permission_error", "model_unknown"),
    "unknown-in-a-stream": (
        message("rogue-model", stream=True),
        anthropic.PermissionDeniedError,
        "permission_error",
        "model_unknown",
    ),
    "unknown-to-count": (
        lambda c: c.messages.count_tokens(model="rogue-model", messages=[{"role": "user", "content": "x"}]),
        anthropic.PermissionDeniedError,
        "permission_error",
        "model_unknown",
    ),
    "retired": (message("old-model"), anthropic.PermissionDeniedError, "permission_error", "model_not_approved"),
    "prompt-pending": (
        message(extra_headers={"x-portcullis-prompt": "support-triage@2"}),
        anthropic.PermissionDeniedError,
        "permission_error",
        "prompt_not_approved",
    ),
    "card-number": (
        message(text=f"Please charge {CARD} today."),
        anthropic.PermissionDeniedError,
        "permission_error",
        "risk_blocked",
    ),
    "card-number-in-the-system-text": (
        message(system=f"The customer pays with {CARD}."),
        anthropic.PermissionDeniedError,
        "permission_error",
        "risk_blocked",
    ),
    "duplicate-model": (
        raw(b'{"model":"claude-sonnet-4-5","max_tokens":5,"model":"rogue-model","messages":[]}'),
        anthropic.BadRequestError,
        "invalid_request_error",
        "ambiguous_request",
    ),
    "no-model": (
        raw(b'{"max_tokens":5,"messages":[]}'),
        anthropic.BadRequestError,
        "invalid_request_error",
        "model_missing",
    ),
    "a-batch-read-back": (
        lambda c: c.messages.batches.retrieve("msgbatch_x"),
        anthropic.NotFoundError,
        "not_found_error",
        "unsupported_operation",
    ),
}


def refused(
    client: anthropic.Anthropic, call: Call, error: type[anthropic.APIStatusError], upstream: Upstream
) -> anthropic.APIStatusError:
    with pytest.raises(anthropic.APIStatusError) as caught:
        call(client)
    assert type(caught.value) is error
    assert_sealed(caught.value)
    assert upstream.heard() == [], "a refused request reached the upstream"
    return caught.value


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_is_typed_and_speaks_the_vendors_words(
    acme_claude: anthropic.Anthropic, upstream: Upstream, case: str
) -> None:
    call, kind, word, code = CASES[case]
    error = refused(acme_claude, call, kind, upstream)
    assert (error.type, code_of(error)) == (word, code)


def test_a_model_of_other_tenants_is_a_permission_denied_error(
    anthropic_for: Callable[[str], anthropic.Anthropic], upstream: Upstream
) -> None:
    error = refused(anthropic_for("hooli"), message(), anthropic.PermissionDeniedError, upstream)
    assert code_of(error) == "model_not_permitted"


@pytest.mark.parametrize(
    ("tenant", "code"), [("acme-expired", "credential_expired"), ("acme-disabled", "credential_invalid")]
)
def test_a_key_that_was_good_is_an_authentication_error(
    anthropic_for: Callable[[str], anthropic.Anthropic], upstream: Upstream, tenant: str, code: str
) -> None:
    error = refused(anthropic_for(tenant), message(), anthropic.AuthenticationError, upstream)
    assert (error.type, code_of(error)) == ("authentication_error", code)


def test_a_bad_key_is_an_authentication_error(door: str, upstream: Upstream) -> None:
    with anthropic.Anthropic(base_url=door, api_key="sk-ant-somebody-elses", max_retries=0) as client:
        error = refused(client, message(), anthropic.AuthenticationError, upstream)
    assert (error.type, code_of(error)) == ("authentication_error", "credential_invalid")


def test_no_key_is_an_authentication_error(acme_claude: anthropic.Anthropic, upstream: Upstream) -> None:
    call = message(extra_headers={"authorization": anthropic.Omit(), "x-api-key": anthropic.Omit()})
    error = refused(acme_claude, call, anthropic.AuthenticationError, upstream)
    assert code_of(error) == "credential_missing"
