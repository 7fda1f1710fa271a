"""Heads that HTTP/2 forbids or that could be read in two ways: refused, and the upstream hears nothing."""

from __future__ import annotations

import pytest
from hyperframe.frame import HeadersFrame

from conftest import Gate
from line import BODY, Field, Line, request
from servers import Upstream

GOOD = request()


def without(name: str) -> list[Field]:
    return [field for field in GOOD if field[0] != name]


FORBIDDEN: dict[str, list[Field]] = {
    "connection": [*GOOD, ("connection", "close")],
    "connection-that-names-a-field": [*GOOD, ("connection", "authorization")],
    "keep-alive": [*GOOD, ("keep-alive", "timeout=5")],
    "proxy-connection": [*GOOD, ("proxy-connection", "keep-alive")],
    "transfer-encoding": [*GOOD, ("transfer-encoding", "chunked")],
    "transfer-encoding-identity": [*GOOD, ("transfer-encoding", "identity")],
    "upgrade": [*GOOD, ("upgrade", "websocket")],
    "te-other-than-trailers": [*GOOD, ("te", "gzip")],
    "te-trailers-and-more": [*GOOD, ("te", "trailers, deflate")],
    "uppercase-name": [*GOOD, ("X-Upper", "1")],
    "uppercase-known-name": [*without("content-type"), ("Content-Type", "application/json")],
    "pseudo-after-regular": [*GOOD, (":authority", "localhost")],
    "method-after-regular": [*without(":method"), (":method", "POST")],
    "two-methods": [(":method", "POST"), *GOOD],
    "two-paths": [(":path", "/v1/models"), *GOOD],
    "two-authorities": [(":authority", "localhost"), *GOOD],
    "two-schemes": [(":scheme", "https"), *GOOD],
    "no-method": without(":method"),
    "no-path": without(":path"),
    "no-scheme": without(":scheme"),
    "empty-path": [(":path", "") if name == ":path" else (name, value) for name, value in GOOD],
    "path-without-slash": request("v1/chat/completions"),
    "path-with-space": request("/v1/chat/completions HTTP/1.1"),
    "path-with-line-end": request("/v1/chat/completions\r\nx: y"),
    "path-that-is-absolute": request("http://localhost/v1/chat/completions"),
    "path-with-a-fragment-in-front": request("#/v1/chat/completions"),
    "unknown-pseudo": [(":foo", "bar"), *GOOD],
    "status-in-a-request": [(":status", "200"), *GOOD],
    "method-with-space": request(method="POST /"),
    "line-end-in-a-value": [*GOOD, ("x-a", "b\r\ntransfer-encoding: chunked")],
    "line-feed-in-a-value": [*GOOD, ("x-a", "b\nx-c: d")],
    "zero-in-a-value": [*GOOD, ("x-a", "b\x00")],
    "space-in-a-name": [*GOOD, ("x a", "b")],
    "colon-in-a-name": [*GOOD, ("x:a", "b")],
    "line-end-in-a-name": [*GOOD, ("x\r\na", "b")],
    "zero-in-a-name": [*GOOD, ("x\x00a", "b")],
    "empty-name": [*GOOD, ("", "b")],
    "no-authority-and-no-host": without(":authority"),
    "host-that-differs": [*GOOD, ("host", "evil.example")],
    "two-hosts": [*GOOD, ("host", "localhost"), ("host", "localhost")],
    "user-in-the-authority": request(authority="user@localhost"),
    "path-in-the-authority": request(authority="localhost/x"),
    "space-in-the-authority": request(authority="local host"),
    "empty-authority": [(":authority", ""), *without(":authority")],
    "host-alone-that-is-bad": [*without(":authority"), ("host", "a/b")],
    "expect-other": [*GOOD, ("expect", "x-foo")],
    "two-credentials": [*GOOD, ("authorization", "Bearer x")],
    "key-in-the-query": request("/v1/chat/completions?key=x"),
    "another-path": request("/v1//chat/completions"),
    "model-in-the-query": request("/v1/chat/completions?model=rogue-model"),
    "two-content-types": [*GOOD, ("content-type", "application/json")],
    "a-coding-that-nobody-reads": [*GOOD, ("content-encoding", "br")],
    "a-coding-that-it-is-not": [*GOOD, ("content-encoding", "gzip")],
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_head_that_must_not_be_is_refused(gate: Gate, line: Line, upstream: Upstream, case: str) -> None:
    stream = line.ask(FORBIDDEN[case])
    answer = line.answer(stream)
    assert answer.refused or line.goaway or line.closed, answer
    assert upstream.heard() == []
    gate.is_well()


LEGITIMATE: dict[str, list[Field]] = {
    "plain": GOOD,
    "te-trailers": [*GOOD, ("te", "trailers")],
    "host-that-agrees": [*GOOD, ("host", "localhost")],
    "host-in-place-of-authority": [*without(":authority"), ("host", "localhost")],
    "expect-continue": [*GOOD, ("expect", "100-continue")],
    "a-length-that-is-right": [*GOOD, ("content-length", str(len(BODY)))],
    "https": request(scheme="https"),
    "a-priority": [*GOOD, ("priority", "u=1, i")],
    "cookies-in-crumbs": [*GOOD, ("cookie", "a=b"), ("cookie", "c=d")],
    "hop-by-hop-leftovers": [*GOOD, ("http2-settings", "AAMAAABk")],
}


@pytest.mark.parametrize("case", LEGITIMATE)
def test_a_head_that_may_be_is_forwarded_without_what_is_the_hops(line: Line, upstream: Upstream, case: str) -> None:
    answer = line.answer(line.ask(LEGITIMATE[case]))
    assert answer.status == 200, answer
    heard = upstream.only_heard()
    assert heard.body == BODY and heard.header("content-length") == str(len(BODY))
    names = {name for name, _ in heard.headers}
    assert not names & {"te", "expect", "cookie", "priority", "http2-settings", "transfer-encoding"}, names
    assert heard.header("host") == f"127.0.0.1:{upstream.port}"


LENGTHS: dict[str, tuple[list[Field], bytes]] = {
    "short": ([*GOOD, ("content-length", str(len(BODY) - 1))], BODY),
    "long": ([*GOOD, ("content-length", str(len(BODY) + 1))], BODY),
    "zero": ([*GOOD, ("content-length", "0")], BODY),
    "two-that-differ": ([*GOOD, ("content-length", str(len(BODY))), ("content-length", "3")], BODY),
    "two-that-agree": ([*GOOD, ("content-length", str(len(BODY)))] + [("content-length", str(len(BODY)))], BODY),
    "list": ([*GOOD, ("content-length", f"{len(BODY)}, {len(BODY)}")], BODY),
    "sign": ([*GOOD, ("content-length", f"+{len(BODY)}")], BODY),
    "hex": ([*GOOD, ("content-length", hex(len(BODY)))], BODY),
    "negative": ([*GOOD, ("content-length", "-1")], BODY),
    "huge": ([*GOOD, ("content-length", "99999999999999999999")], BODY),
    "without-a-body": ([*GOOD, ("content-length", str(len(BODY)))], b""),
}


@pytest.mark.parametrize("case", LENGTHS)
def test_a_length_that_is_not_the_bodys_is_refused(gate: Gate, line: Line, upstream: Upstream, case: str) -> None:
    fields, body = LENGTHS[case]
    answer = line.answer(line.ask(fields, body))
    assert answer.refused or line.goaway or line.closed, answer
    assert upstream.heard() == []
    gate.is_well()


def test_trailers_go_nowhere(line: Line, upstream: Upstream) -> None:
    stream = line.stream()
    trailers = [("x-late", "1"), ("authorization", "Bearer x")]
    line.say(line.head(stream, GOOD), line.data(stream, BODY), line.head(stream, trailers, end=True))
    assert line.answer(stream).status == 200
    heard = upstream.only_heard()
    assert heard.body == BODY and heard.header("x-late") is None and heard.header("trailer") is None


LATE: dict[str, list[Field]] = {
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "connection": [("connection", "close")],
    "uppercase-name": [("X-Upper", "1")],
    "pseudo": [(":path", "/v1/models")],
    "pseudo-method": [(":method", "GET")],
    "line-end-in-a-value": [("x-a", "b\r\nx-c: d")],
}


@pytest.mark.parametrize("case", LATE)
def test_trailers_that_must_not_be_change_nothing(line: Line, upstream: Upstream, case: str) -> None:
    """Refused, or dropped like all trailers: hyper's HTTP/2 layer does the latter with pseudo fields."""
    stream = line.stream()
    line.say(line.head(stream, GOOD), line.data(stream, BODY), line.head(stream, LATE[case], end=True))
    answer = line.answer(stream)
    if answer.status == 200:
        heard = upstream.only_heard()
        assert (heard.method, heard.target, heard.body) == ("POST", "/v1/chat/completions", BODY)
    else:
        assert answer.refused or line.goaway or line.closed, answer
        assert upstream.heard() == []


TUNNELS: dict[str, list[Field]] = {
    "connect": [(":method", "CONNECT"), (":authority", "127.0.0.1:80"), *GOOD[4:]],
    "connect-with-path": [(":method", "CONNECT"), *GOOD[1:]],
    "websocket": [(":method", "CONNECT"), (":protocol", "websocket"), *GOOD[1:], ("sec-websocket-version", "13")],
    "websocket-to-realtime": [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        *request("/v1/realtime?model=gpt-4o-mini")[1:],
    ],
    "protocol-on-a-post": [(":protocol", "websocket"), *GOOD],
    "connect-udp": [(":method", "CONNECT"), (":protocol", "connect-udp"), *GOOD[1:]],
}


@pytest.mark.parametrize("case", TUNNELS)
def test_nothing_is_tunnelled(gate: Gate, line: Line, upstream: Upstream, case: str) -> None:
    stream = line.stream()
    line.say(line.head(stream, TUNNELS[case]), line.data(stream, b"GET /v1/models HTTP/1.1\r\n\r\n"))
    answer = line.answer(stream, 4)
    assert answer.refused or line.goaway or line.closed, answer
    assert upstream.heard() == []
    gate.is_well()


def test_a_refused_stream_does_not_end_the_connection(line: Line, upstream: Upstream) -> None:
    rogue = BODY.replace(b"gpt-4o-mini", b"rogue-model")
    streams = [line.ask(GOOD, rogue if n % 2 else BODY) for n in range(20)]
    for n, stream in enumerate(streams):
        answer = line.answer(stream)
        assert (answer.status, answer.code) == ((403, "model_unknown") if n % 2 else (200, "")), answer
    assert len(upstream.heard()) == 10


def test_a_head_whose_table_is_broken_ends_the_connection(gate: Gate, line: Line, upstream: Upstream) -> None:
    # An index that nobody defined (RFC 7541 section 2.3.3), and a table size beyond the limit (section 6.3).
    for block in (b"\xff\xff\xff\x7f", b"\x3f\xff\xff\xff\x7f", b"\x80", b"\x41"):
        with_bad = gate.connect()
        frame = HeadersFrame(1, block)
        frame.flags |= {"END_HEADERS", "END_STREAM"}
        with_bad.say(frame)
        assert with_bad.is_over()
        with_bad.close()
    assert upstream.heard() == []
    gate.is_well()
