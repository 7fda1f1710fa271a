"""How a refusal reads in an SDK: the typed error, the status, and our code in the place of each dialect."""

from __future__ import annotations

import anthropic
import openai

CARD = "4539 1488 0343 6467"
"""A number with a valid check digit that no bank has given out."""

CREDENTIAL = "AKIA" + "Q3ZXN7W2K5TPV4RM"
"""Looks like a cloud access key; put together here, so that no scanner takes this file for a leak."""


def code_of(error: openai.APIStatusError | anthropic.APIStatusError) -> str:
    """Our reason code, after checking that every place that carries it agrees.

    OpenAI's shape has `error.code`. Anthropic's has `error.details.error_code`, which older SDKs do not read, so that it
    stands in the message too.
    """
    code = error.response.headers["x-portcullis-reason"]
    if isinstance(error, openai.APIStatusError):
        assert error.code == code
        assert error.body["message"] and error.body["type"], "an OpenAI error has a message and a type"
    else:
        assert error.error_code == code
        assert error.body["type"] == "error"
        assert code in error.body["error"]["message"]
    return code


def assert_sealed(error: openai.APIStatusError | anthropic.APIStatusError) -> None:
    """A refusal names its request and its audit record, and is marked as the gate's decision."""
    headers = error.response.headers
    assert headers["x-request-id"] and error.request_id == headers["x-request-id"]
    assert headers["x-portcullis-decision"] == "block"
    origin, sequence = headers["x-portcullis-audit"].rsplit("#", 1)
    assert origin and int(sequence) >= 0


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    digits = [int(d) for d in number if d.isdigit()][::-1]
    return sum(d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(digits)) % 10 == 0


assert luhn(CARD)
