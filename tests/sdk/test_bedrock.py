"""Amazon's SDK for Python against the gate: conversations, invocations, streams, tools, refusals, and what reaches Bedrock.

The SDK sends bearer tokens over TLS only. One test goes that way; the others have the SDK leave its signature out and
put the header in themselves, which is what a client of a gate on loopback does.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import socket
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator

import boto3
import botocore
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, EventStreamError

from conftest import KEYS
from refusals import CARD
from servers import UPSTREAM_KEY, Gate, Heard, Upstream

KEY = KEYS["cyberdyne"]
CLAUDE = "anthropic.claude-sonnet-4-5-v1:0"
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.nova"
TITAN = "amazon.titan-embed-text-v2:0"
LLAMA = "meta.llama3-8b-instruct-v1:0"
ANSWER = f"This is the simulated answer of {CLAUDE}."
HELLO = [{"role": "user", "content": [{"text": "Say hello."}]}]
TOOLS = {"tools": [{"toolSpec": {"name": "look_up", "inputSchema": {"json": {"type": "object", "properties": {"model": {"type": "string"}}}}}}]}
MESSAGES = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": [{"role": "user", "content": "Say hello."}]}


def client_at(url: str, key: str | None, **more: object):
    options = {"retries": {"total_max_attempts": 1}, "read_timeout": 30, "signature_version": botocore.UNSIGNED}
    config = Config(**{**options, **more})
    client = boto3.client("bedrock-runtime", region_name="eu-west-1", endpoint_url=url, config=config)
    if key:
        bearer = lambda request, **_: request.headers.add_header("Authorization", f"Bearer {key}")
        client.meta.events.register("request-created.bedrock-runtime", bearer)
    return client


@pytest.fixture
def bedrock(door: str, request: pytest.FixtureRequest):
    return client_at(door, UPSTREAM_KEY if request.config.getoption("--direct") else KEY)


def test_a_conversation_is_answered(bedrock) -> None:
    answer = bedrock.converse(modelId=CLAUDE, messages=HELLO, system=[{"text": "Be kind."}], inferenceConfig={"maxTokens": 50})
    assert answer["output"]["message"]["content"][0]["text"] == ANSWER
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("end_turn", 7)


def test_a_streamed_conversation_joins_to_the_answer(bedrock) -> None:
    events = list(bedrock.converse_stream(modelId=CLAUDE, messages=HELLO)["stream"])
    text = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
    assert text == ANSWER
    assert list(events[0]) == ["messageStart"] and "usage" in events[-1]["metadata"]


def test_a_tool_is_called_and_its_result_answered(bedrock) -> None:
    first = bedrock.converse(modelId=CLAUDE, messages=HELLO, toolConfig=TOOLS)
    assert first["stopReason"] == "tool_use"
    said = first["output"]["message"]
    use = said["content"][0]["toolUse"]
    assert use["name"] == "look_up"
    result = {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"json": {"model": "x"}}], "status": "success"}}
    turns = [*HELLO, said, {"role": "user", "content": [result]}]
    assert bedrock.converse(modelId=CLAUDE, messages=turns, toolConfig=TOOLS)["output"]["message"]["content"][0]["text"] == ANSWER


def test_a_tool_is_called_in_a_stream(bedrock) -> None:
    events = list(bedrock.converse_stream(modelId=CLAUDE, messages=HELLO, toolConfig=TOOLS)["stream"])
    start = next(e["contentBlockStart"]["start"] for e in events if "contentBlockStart" in e)
    assert start["toolUse"]["name"] == "look_up"
    parts = [e["contentBlockDelta"]["delta"]["toolUse"]["input"] for e in events if "contentBlockDelta" in e]
    assert json.loads("".join(parts)) == {}


def test_a_model_is_invoked_by_its_familys_body(bedrock) -> None:
    answer = json.loads(bedrock.invoke_model(modelId=CLAUDE, body=json.dumps(MESSAGES))["body"].read())
    assert answer["content"][0]["text"] == ANSWER
    body = {"schemaVersion": "messages-v1", "messages": HELLO, "inferenceConfig": {"maxTokens": 50}}
    answer = json.loads(bedrock.invoke_model(modelId=PROFILE, body=json.dumps(body))["body"].read())
    assert answer["output"]["message"]["content"][0]["text"].startswith("This is the simulated answer of arn:aws")
    answer = json.loads(bedrock.invoke_model(modelId=LLAMA, body=json.dumps({"prompt": "x", "max_gen_len": 3}))["body"].read())
    assert answer["generation"] == "This is the "


def test_an_invocation_streams(bedrock) -> None:
    stream = bedrock.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(MESSAGES))["body"]
    events = [json.loads(event["chunk"]["bytes"]) for event in stream]
    assert "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta") == ANSWER
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 7


def test_embeddings_come_from_an_invocation(bedrock) -> None:
    body = json.dumps({"inputText": "x", "dimensions": 256, "normalize": True})
    assert json.loads(bedrock.invoke_model(modelId=TITAN, body=body)["body"].read())["embedding"] == [0.25, -0.5]


def test_media_and_extra_fields_pass(bedrock) -> None:
    content = [
        {"text": "Look."},
        {"image": {"format": "png", "source": {"bytes": b"\x89PNG\r\n" + bytes(200)}}},
        {"document": {"format": "pdf", "name": "paper", "source": {"bytes": b"%PDF-" + bytes(200)}}},
        {"cachePoint": {"type": "default"}},
    ]
    answer = bedrock.converse(
        modelId=CLAUDE,
        messages=[{"role": "user", "content": content}],
        additionalModelRequestFields={"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}},
        guardrailConfig={"guardrailIdentifier": "gr1", "guardrailVersion": "1", "trace": "enabled"},
        performanceConfig={"latency": "standard"},
        requestMetadata={"team": "support"},
    )
    assert answer["stopReason"] == "end_turn"


def test_tokens_are_counted(bedrock) -> None:
    assert bedrock.count_tokens(modelId=CLAUDE, input={"converse": {"messages": HELLO}})["inputTokens"] > 0


# What needs the gate.


def signed_anew(heard: Heard) -> str:
    """The `Authorization` that Amazon's own signer makes of what arrived."""
    stated = heard.header("authorization")
    names = stated.split("SignedHeaders=")[1].split(",")[0].split(";")
    scope = stated.split("Credential=")[1].split(",")[0].split("/")
    headers = {name: heard.header(name) for name in names if name not in ("x-amz-date", "x-amz-security-token")}
    request = AWSRequest(heard.method, f"http://{heard.header('host')}{heard.target}", headers=headers, data=heard.body)
    signer = SigV4Auth(Credentials(scope[0], UPSTREAM_KEY, heard.header("x-amz-security-token")), scope[3], scope[2])
    request.context["timestamp"] = heard.header("x-amz-date")
    request.headers["X-Amz-Date"] = heard.header("x-amz-date")
    request.headers["X-Amz-Security-Token"] = heard.header("x-amz-security-token")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return signer._inject_signature_to_request(request, signer.signature(text, request)).headers["Authorization"]


@pytest.mark.gate
@pytest.mark.parametrize(
    ("model", "path"),
    [
        (CLAUDE, "/model/anthropic.claude-sonnet-4-5-v1%3A0/converse"),
        (PROFILE, "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Feu.nova/converse"),
        ("house-claude", "/model/anthropic.claude-pinned-v2%3A0/converse"),
    ],
)
def test_the_upstream_gets_a_signature_that_amazons_signer_makes_too(gate: Gate, upstream: Upstream, model: str, path: str) -> None:
    client_at(gate.url, KEY).converse(modelId=model, messages=HELLO)
    heard = upstream.only_heard()
    assert heard.target == path
    stated = heard.header("authorization")
    assert stated.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert stated == signed_anew(heard)
    assert {"host", "content-type", "x-amz-date", "x-amz-security-token"} <= set(stated.split("SignedHeaders=")[1].split(",")[0].split(";"))
    assert heard.header("x-amz-security-token") == "a-session-token"
    sent = datetime.datetime.strptime(heard.header("x-amz-date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    assert abs(datetime.datetime.now(datetime.UTC) - sent) < datetime.timedelta(minutes=1)
    assert KEY not in str(heard.headers) and UPSTREAM_KEY not in str(heard.headers)


@pytest.mark.gate
def test_an_upstream_with_a_bedrock_key_gets_it_as_bearer(gate: Gate, upstream: Upstream) -> None:
    client_at(gate.url, KEY).invoke_model(modelId=LLAMA, body=json.dumps({"prompt": "x"}))
    assert upstream.only_heard().header("authorization") == f"Bearer {UPSTREAM_KEY}"


@pytest.mark.gate
def test_a_guardrail_travels_and_other_heads_do_not(gate: Gate, upstream: Upstream) -> None:
    client_at(gate.url, KEY).invoke_model(
        modelId=CLAUDE, body=json.dumps(MESSAGES), guardrailIdentifier="gr1", guardrailVersion="1", trace="ENABLED"
    )
    heard = upstream.only_heard()
    assert (heard.header("x-amzn-bedrock-guardrailidentifier"), heard.header("x-amzn-bedrock-trace")) == ("gr1", "ENABLED")
    assert heard.header("amz-sdk-request") is None
    assert heard.header("authorization") == signed_anew(heard)


def refused(call: Callable[[], object], error: str, code: str, status: int) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (error, status)
    assert f"[{code}]" in response["Error"]["Message"]
    assert headers["x-portcullis-reason"] == code and headers["x-portcullis-audit"]
    assert response["ResponseMetadata"]["RequestId"] == headers["x-request-id"]
    return caught.value


@pytest.mark.gate
def test_refusals_are_typed_errors_with_our_code(gate: Gate, upstream: Upstream) -> None:
    bedrock = client_at(gate.url, KEY)
    denied, invalid = "AccessDeniedException", "ValidationException"
    why = refused(lambda: bedrock.converse(modelId="rogue-model", messages=HELLO), denied, "model_unknown", 403)
    assert isinstance(why, bedrock.exceptions.AccessDeniedException)
    refused(lambda: bedrock.converse_stream(modelId="rogue-model", messages=HELLO), denied, "model_unknown", 403)
    refused(lambda: bedrock.invoke_model(modelId="gpt-4o", body=json.dumps(MESSAGES)), denied, "model_not_approved", 403)
    refused(lambda: bedrock.invoke_model(modelId=TITAN, body=json.dumps(MESSAGES)), denied, "operation_not_permitted", 403)
    refused(
        lambda: bedrock.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps({**MESSAGES, "model": "x"})),
        invalid, "unsupported_parameter", 400,
    )
    card = [{"role": "user", "content": [{"text": f"Please charge {CARD} today."}]}]
    refused(lambda: bedrock.converse(modelId=CLAUDE, messages=card), denied, "risk_blocked", 403)
    stored = [{"role": "user", "content": [{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}}]}]
    refused(lambda: bedrock.converse(modelId=CLAUDE, messages=stored), denied, "reference_not_permitted", 403)
    extra = {"fallbackModels": ["rogue-model"]}
    refused(
        lambda: bedrock.converse(modelId=CLAUDE, messages=HELLO, additionalModelRequestFields=extra),
        invalid, "unsupported_parameter", 400,
    )
    tool = {"tools": [{"systemTool": {"name": "nova_grounding"}}]}
    refused(lambda: bedrock.converse(modelId=CLAUDE, messages=HELLO, toolConfig=tool), denied, "reference_not_permitted", 403)
    assert upstream.heard() == []


@pytest.mark.gate
def test_without_a_gate_key_nothing_passes(gate: Gate, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    call = lambda client: lambda: client.converse(modelId=CLAUDE, messages=HELLO)
    refused(call(client_at(gate.url, None)), "AccessDeniedException", "credential_missing", 401)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", UPSTREAM_KEY)
    signing = client_at(gate.url, None, signature_version="v4")
    refused(call(signing), "AccessDeniedException", "credential_invalid", 401)
    assert upstream.heard() == []


@pytest.mark.gate
def test_the_vendors_own_errors_stay_typed(gate: Gate) -> None:
    bedrock = client_at(gate.url, KEY)
    with pytest.raises(bedrock.exceptions.ThrottlingException):
        bedrock.converse(modelId=CLAUDE, messages=HELLO, requestMetadata={"user": "sim:status=429"})
    with pytest.raises(bedrock.exceptions.ValidationException):
        bedrock.converse_stream(modelId=CLAUDE, messages=HELLO, requestMetadata={"user": "sim:status=400"})


@pytest.mark.gate
def test_a_stream_that_breaks_off_raises(gate: Gate) -> None:
    bedrock = client_at(gate.url, KEY)
    stream = bedrock.converse_stream(
        modelId=CLAUDE, messages=HELLO, requestMetadata={"user": "sim:chunks=9,cut_after=4"}
    )["stream"]
    seen = []
    with pytest.raises(EventStreamError) as caught:
        for event in stream:
            seen.append(event)
    assert len(seen) == 4
    assert caught.value.response["Error"]["Code"] == "modelStreamErrorException"
    assert "[upstream_failed]" in caught.value.response["Error"]["Message"]
    body = {**MESSAGES, "metadata": {"user_id": "sim:chunks=9,cut_after=4"}}
    with pytest.raises(EventStreamError):
        list(bedrock.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(body))["body"])


@pytest.mark.gate
def test_usage_is_counted_from_bodies_heads_and_streams(gate: Gate, upstream: Upstream) -> None:
    bedrock = client_at(gate.url, KEY)
    metadata = {"user": "sim:usage_in=110,usage_out=51"}
    audit = {}
    note = lambda name, answer: audit.__setitem__(name, answer["ResponseMetadata"]["HTTPHeaders"]["x-portcullis-audit"])
    note("converse", bedrock.converse(modelId=CLAUDE, messages=HELLO, requestMetadata=metadata))
    answer = bedrock.converse_stream(modelId=CLAUDE, messages=HELLO, requestMetadata=metadata)
    list(answer["stream"])
    note("converse-stream", answer)
    body = json.dumps({**MESSAGES, "metadata": {"user_id": "sim:usage_in=110,usage_out=51"}})
    note("invoke", bedrock.invoke_model(modelId=CLAUDE, body=body))
    answer = bedrock.invoke_model_with_response_stream(modelId=CLAUDE, body=body)
    list(answer["body"])
    note("invoke-stream", answer)
    upstream.next("usage_in=110,usage_out=51")
    answer = bedrock.invoke_model(modelId=LLAMA, body=json.dumps({"prompt": "x"}))
    answer["body"].read()
    note("head", answer)
    for name, address in audit.items():
        decision, outcome = records_of(gate, address)
        assert decision["data"]["llm"]["dialect"] == "bedrock", name
        usage = outcome["data"]["usage"]
        assert (usage["input"], usage["output"], outcome["data"]["end"]) == (110, 51, "complete"), name


@pytest.mark.gate
def test_the_record_says_what_an_invocation_asked_for(gate: Gate) -> None:
    bedrock = client_at(gate.url, KEY)
    answer = bedrock.invoke_model(modelId=TITAN, body=json.dumps({"inputText": "x", "dimensions": 256}))
    answer["body"].read()
    decision, _ = records_of(gate, answer["ResponseMetadata"]["HTTPHeaders"]["x-portcullis-audit"])
    assert decision["data"]["llm"]["operation"] == "embeddings"
    assert decision["data"]["resource"]["id"] == TITAN


def records_of(gate: Gate, address: str) -> tuple[dict, dict]:
    """The decision at this address and its outcome, once that is written."""
    sequence = f"{int(address.rsplit('#', 1)[1]):020}"
    for _ in range(200):
        lines = [line for file in sorted(gate.directory.glob("var/audit/segments/*.jsonl")) for line in file.read_text().splitlines(True)]
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        decision = next((r for r in records if r["sequence"] == sequence), None)
        outcome = next((r for r in records if decision and r.get("causationid") == decision["id"]), None)
        if outcome:
            return decision, outcome
        threading.Event().wait(0.02)
    raise AssertionError(f"no decision and outcome at {address}")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """One file with a key and a certificate of 127.0.0.1, good for a day."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *options.split(), "-keyout", file, "-out", file.with_suffix(".crt")], check=True, capture_output=True)
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


@pytest.fixture
def over_tls(gate: Gate, certificate: pathlib.Path) -> Iterator[str]:
    """The gate behind a TLS listener that passes every byte on."""
    target = urllib.parse.urlsplit(gate.url)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)

    def serve() -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, socket.create_connection((target.hostname, target.port)) as inner:
            back = threading.Thread(target=pump, args=(inner, client), daemon=True)
            back.start()
            pump(client, inner)

    threading.Thread(target=serve, daemon=True).start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass


@pytest.mark.gate
def test_the_sdks_own_bearer_token_is_the_gate_key(over_tls: str, certificate: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
    client = boto3.client(
        "bedrock-runtime", region_name="eu-west-1", endpoint_url=over_tls, config=config, verify=str(certificate.with_suffix(".crt"))
    )
    assert client.converse(modelId=CLAUDE, messages=HELLO)["stopReason"] == "end_turn"
