"""Hostile connections: bounded in time and memory, the upstream untouched, and the next tenant unharmed."""

from __future__ import annotations

import gzip
import socket
import ssl
import time
from collections.abc import Callable

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from conftest import KEYS, Gate
from line import BODY, CHAT, Line, request
from servers import Upstream

GOOD = request()
# What one hostile connection may cost the process at most, with a debug build's allocations.
MOST_KIB = 24 * 1024
# Frames or bytes of a flood: enough that a gate without a bound would show it.
MANY = 20_000


def continuation(stream: int, data: bytes, end: bool = False) -> ContinuationFrame:
    frame = ContinuationFrame(stream, data)
    frame.flags |= {"END_HEADERS"} if end else set()
    return frame


def resets(line: Line) -> list[Frame]:
    """Rapid reset (CVE-2023-44487)."""
    stream = line.stream()
    return [line.head(stream, GOOD), RstStreamFrame(stream, error_code=8)]


def made_to_reset(line: Line) -> list[Frame]:
    """MadeYouReset (CVE-2025-8671): a frame for which the gate itself has to reset the stream."""
    stream = line.stream()
    return [line.head(stream, GOOD, end=True), WindowUpdateFrame(stream, window_increment=0x7FFFFFFF)]


def data_behind_the_end(line: Line) -> list[Frame]:
    stream = line.stream()
    return [line.head(stream, GOOD, end=True), line.data(stream, b"x")]


def priority_on_itself(line: Line) -> list[Frame]:
    stream = line.stream()
    return [line.head(stream, GOOD), PriorityFrame(stream, depends_on=stream, stream_weight=1)]


def bad_lengths(line: Line) -> list[Frame]:
    stream = line.stream()
    return [line.head(stream, [*GOOD, ("content-length", "5")]), line.data(stream, b"too long for it", end=True)]


FATAL: dict[str, Callable[[Line], list[Frame]]] = {
    "rapid-reset": resets,
    "made-you-reset-by-window": made_to_reset,
    "made-you-reset-by-data": data_behind_the_end,
    "made-you-reset-by-length": bad_lengths,
}


def flood(line: Line, pieces: Callable[[Line], list[Frame]], times: int) -> None:
    for _ in range(times // 50):
        frames = [frame for _ in range(50) for frame in pieces(line)]
        if not line.say(*frames):
            return
        while line.hear(0):
            pass
        if line.closed or line.goaway:
            return


@pytest.mark.parametrize("case", FATAL)
def test_a_flood_of_resets_ends_its_connection(gate: Gate, upstream: Upstream, case: str) -> None:
    before = gate.rss_kib()
    line = gate.connect()
    flood(line, FATAL[case], 2000)
    assert line.is_over(), f"{case} goes on for ever"
    gate.is_well()
    line.close()
    assert gate.rss_kib() - before < MOST_KIB
    assert len([call for call in upstream.heard() if call.body != BODY]) == 0


def test_requests_that_are_reset_while_they_run_do_not_pile_up(gate: Gate, upstream: Upstream) -> None:
    """Each is begun in full and then dropped: what the gate does for it ends with it."""
    before = gate.rss_kib()
    line = gate.connect()

    def begun_and_dropped(line: Line) -> list[Frame]:
        stream = line.stream()
        return [line.head(stream, GOOD), line.data(stream, BODY, end=True), RstStreamFrame(stream, error_code=8)]

    flood(line, begun_and_dropped, 1000)
    gate.is_well()
    line.close()
    assert gate.rss_kib() - before < MOST_KIB
    # The neighbour's call is the last one; those that were dropped in time never left.
    assert all(call.body in (BODY, upstream.heard()[-1].body) for call in upstream.heard())


HARMLESS: dict[str, Callable[[Line], list[Frame]]] = {
    "settings": lambda line: [SettingsFrame(0, settings={4: 65535})],
    "empty-settings": lambda line: [SettingsFrame(0)],
    "table-sizes": lambda line: [SettingsFrame(0, settings={1: 0}), SettingsFrame(0, settings={1: 4096})],
    "windows-up-and-down": lambda line: [SettingsFrame(0, settings={4: 1}), SettingsFrame(0, settings={4: 2**31 - 1})],
    "pings": lambda line: [PingFrame(0, opaque_data=b"12345678")],
    "unknown-frames": lambda line: [ExtensionFrame(type=0xEE, stream_id=0, body=b"x" * 100)],
    "unknown-frames-on-streams": lambda line: [ExtensionFrame(type=0xEE, stream_id=line.stream(), body=b"x")],
    "priorities": lambda line: [PriorityFrame(line.stream(), depends_on=0, stream_weight=9)],
    "window-updates": lambda line: [WindowUpdateFrame(0, window_increment=1)],
}


@pytest.mark.parametrize("case", HARMLESS)
def test_a_flood_of_frames_that_ask_for_nothing_is_borne(gate: Gate, upstream: Upstream, case: str) -> None:
    before = gate.rss_kib()
    line = gate.connect()
    line.sock.settimeout(2)
    # What the gate answers is not read, as such a client would not.
    for _ in range(MANY // 500):
        frames = b"".join(frame.serialize() for _ in range(500) for frame in HARMLESS[case](line))
        if not line.say(frames):
            break
    gate.is_well()
    assert gate.rss_kib() - before < MOST_KIB
    line.close()
    assert all(call.header("authorization") for call in upstream.heard()) and len(upstream.heard()) == 1


def test_empty_data_frames_are_borne_and_bounded_in_time(gate: Gate, upstream: Upstream) -> None:
    before = gate.rss_kib()
    line = gate.connect()
    stream = line.stream()
    line.say(line.head(stream, GOOD))
    empty = DataFrame(stream, b"").serialize()
    padded = DataFrame(stream, b"", pad_length=200, flags=["PADDED"]).serialize()
    began = time.monotonic()
    while time.monotonic() - began < 8 and line.say((empty * 50 + padded) * 5):
        line.hear(0.01)
        answer = line.answers.get(stream)
        if line.closed or line.goaway or answer and (answer.status or answer.reset is not None):
            break
    answer = line.answer(stream, 2)
    assert answer.status == 408 or answer.reset is not None or line.is_over(2), answer
    assert gate.rss_kib() - before < MOST_KIB
    assert upstream.heard() == []
    gate.is_well()
    line.close()


@pytest.mark.parametrize("size", [0, 1, 16_000])
def test_a_head_that_goes_on_and_on_ends_its_connection(gate: Gate, upstream: Upstream, size: int) -> None:
    """CONTINUATION flood (CVE-2024-27316 and kin)."""
    before = gate.rss_kib()
    line = gate.connect()
    stream = line.stream()
    head = line.head(stream, GOOD, whole=False)
    line.say(head)
    # A literal field without indexing whose value never ends.
    block = b"\x00\x01x\x7f" + b"\xff" * 3 if size else b""
    for n in range(5000):
        data = (b"\x00\x01a\x01b" * (size // 5 + 1))[:size] if n else block
        if not line.say(continuation(stream, data)):
            break
        if line.hear(0) and (line.closed or line.goaway):
            break
    assert line.is_over(), "the flood goes on for ever"
    assert gate.rss_kib() - before < MOST_KIB
    assert upstream.heard() == []
    gate.is_well()
    line.close()


def test_a_head_bomb_is_refused(gate: Gate, upstream: Upstream) -> None:
    """One entry of the table, named thousands of times: a byte each on the wire, kilobytes each in memory."""
    before = gate.rss_kib()
    line = gate.connect()
    stream = line.stream()
    fields = line.encoder.encode([*GOOD, ("x-bomb", "y" * 3900)])
    frame = HeadersFrame(stream, fields + b"\xbe" * 12_000)
    frame.flags |= {"END_HEADERS", "END_STREAM"}
    line.say(frame)
    answer = line.answer(stream)
    assert answer.refused or line.goaway or line.closed, answer
    assert gate.rss_kib() - before < MOST_KIB
    assert upstream.heard() == []
    gate.is_well()
    line.close()


def test_a_head_that_does_not_come_to_its_end_is_closed_in_time(gate: Gate, upstream: Upstream) -> None:
    line = gate.connect()
    line.say(line.head(line.stream(), GOOD, whole=False))
    began = time.monotonic()
    assert line.is_over(8)
    assert time.monotonic() - began < 8
    assert upstream.heard() == []


def test_a_client_that_says_nothing_behind_its_preface_is_closed_in_time(gate: Gate) -> None:
    line = gate.connect()
    assert line.is_over(8)


def test_a_body_that_does_not_come_to_its_end_is_a_timeout(gate: Gate, upstream: Upstream) -> None:
    line = gate.connect()
    stream = line.stream()
    line.say(line.head(stream, GOOD), line.data(stream, BODY))
    answer = line.answer(stream)
    assert (answer.status, answer.code) == (408, "request_timeout"), answer
    assert upstream.heard() == []
    line.close()


WINDOWS: dict[str, list[Frame]] = {
    "beyond-the-largest": [WindowUpdateFrame(0, window_increment=0x7FFFFFFF)],
    "nothing": [Frame.parse_frame_header(memoryview(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00"))[0]],
    "setting-beyond-the-largest": [SettingsFrame(0, settings={4: 2**31})],
    "frame-size-too-small": [SettingsFrame(0, settings={5: 1})],
    "push-that-is-neither": [SettingsFrame(0, settings={2: 2})],
}


@pytest.mark.parametrize("case", WINDOWS)
def test_a_window_or_setting_that_cannot_be_ends_the_connection(gate: Gate, upstream: Upstream, case: str) -> None:
    line = gate.connect()
    if case == "nothing":
        line.say(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00")
    else:
        line.say(*WINDOWS[case])
    assert line.is_over(0.9), "ended by the error, not by the time limit"
    assert upstream.heard() == []
    gate.is_well()


BROKEN: dict[str, bytes] = {
    "data-on-no-stream": b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x",
    "head-on-no-stream": b"\x00\x00\x01\x01\x05\x00\x00\x00\x00\x82",
    "head-on-an-even-stream": b"\x00\x00\x01\x01\x05\x00\x00\x00\x02\x82",
    "settings-on-a-stream": b"\x00\x00\x00\x04\x00\x00\x00\x00\x01",
    "settings-of-an-odd-length": b"\x00\x00\x05\x04\x00\x00\x00\x00\x0000000",
    "ack-with-settings": b"\x00\x00\x06\x04\x01\x00\x00\x00\x00\x00\x03\x00\x00\x00\x01",
    "ping-of-seven": b"\x00\x00\x07\x06\x00\x00\x00\x00\x001234567",
    "reset-of-an-idle-stream": b"\x00\x00\x04\x03\x00\x00\x00\x00\x09\x00\x00\x00\x08",
    "continuation-of-nothing": b"\x00\x00\x01\x09\x04\x00\x00\x00\x01\x82",
    "a-frame-too-large": b"\x01\x00\x01\x00\x00\x00\x00\x00\x01" + b"x" * 65537,
    "padding-beyond-the-frame": b"\x00\x00\x02\x00\x08\x00\x00\x00\x01\xffx",
    "push-promise": b"\x00\x00\x05\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02\x82",
    "http-1-behind-the-preface": b"POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\n\r\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_frame_that_cannot_be_ends_the_connection(gate: Gate, upstream: Upstream, case: str) -> None:
    line = gate.connect()
    line.say(BROKEN[case])
    assert line.is_over(0.9), "ended by the error, not by the time limit"
    assert upstream.heard() == []
    gate.is_well()


def test_more_streams_than_allowed_are_refused_one_by_one(gate: Gate, upstream: Upstream) -> None:
    line = gate.connect()
    # No more than a client that did not hear of the limit in time: beyond twenty, they count as a flood.
    streams = [line.stream() for _ in range(110)]
    line.say(*[line.head(stream, GOOD) for stream in streams])
    answers = [line.answer(stream) for stream in streams]
    assert sum(answer.reset == 7 for answer in answers) == 10, [answer.reset for answer in answers]
    assert sum(answer.status == 408 for answer in answers) == 100
    assert upstream.heard() == []
    gate.is_well()


def outcome(gate: Gate, correlation: str) -> dict[str, object] | None:
    of_call = [record for record in gate.records() if record.get("correlationid") == correlation]
    ends = [record for record in of_call if record["type"] == "portcullis.outcome.v1"]
    return ends[0]["data"] if ends else None  # type: ignore[return-value]


def ended(gate: Gate, correlation: str, patience: float) -> tuple[float, dict[str, object]]:
    began = time.monotonic()
    while time.monotonic() - began < patience:
        if found := outcome(gate, correlation):
            return time.monotonic() - began, found
        time.sleep(0.05)
    raise AssertionError(f"{correlation} is still open after {patience} s")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_never_opens_its_window_does_not_hold_its_call(gate: Gate, upstream: Upstream, stream: bool) -> None:
    line = gate.connect(window=0)
    name = f"closed-window-{stream}-{gate.port}"
    # A stream that goes on, so that it is not over before there is anything to take.
    body = BODY.replace(b'"model"', b'"stream":true,"user":"sim:chunks=3000,pause_ms=10","model"') if stream else BODY
    asked = line.ask(request(x_request_id=name), body)
    line.until(lambda: line.answers.get(asked) is not None and line.answers[asked].status is not None)
    assert line.answers[asked].status == 200
    took, end = ended(gate, name, 9)
    # A whole answer of one piece is the upstream's no longer, though the client never takes it.
    assert took < 9 and end["end"] == ("cancelled" if stream else "complete"), end
    assert line.answer(asked, 6).reset is not None or line.is_over(3)
    gate.is_well()
    line.close()


def test_a_refusal_that_nobody_takes_is_dropped_too(gate: Gate, upstream: Upstream) -> None:
    line = gate.connect(window=0)
    asked = line.ask(request(key="acme-disabled"))
    assert line.answer(asked, 9).reset is not None or line.closed
    assert upstream.heard() == []
    line.close()


def test_a_client_that_takes_a_little_now_and_then_is_held_to_the_total(gate: Gate, upstream: Upstream) -> None:
    """The upstream of `slow-model` has a second between bytes and five in all. Each piece of 16 KiB is taken in time."""
    line = gate.connect(window=1)
    name = f"drop-by-drop-{gate.port}"
    body = b'{"stream":true,"model":"slow-model","user":"sim:chunks=3000,pause_ms=10","messages":[{"role":"user","content":"hi"}]}'
    asked = line.ask(request(key="initech", x_request_id=name), body)
    began = time.monotonic()
    while outcome(gate, name) is None and time.monotonic() - began < 15:
        line.open_window(asked, 4000)
        line.hear(0.2)
    took = time.monotonic() - began
    assert 4 < took < 9, (took, outcome(gate, name))
    assert line.answer(asked, 3).reset is not None or line.is_over(3)
    gate.is_well()
    line.close()


def test_a_client_that_reads_slowly_but_steadily_gets_all(gate: Gate, upstream: Upstream) -> None:
    line = gate.connect(window=2000)
    body = b'{"stream":true,"model":"gpt-4o-mini","user":"sim:chunks=100","messages":[{"role":"user","content":"hi"}]}'
    asked = line.ask(request(), body)
    began = time.monotonic()
    while not line.answers.get(asked) or not line.answers[asked].ended:
        assert time.monotonic() - began < 60 and not line.closed
        line.hear(0.05)
        line.open_window(asked, 500)
    assert line.answers[asked].body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_ten_megabytes_of_brackets_cost_nothing(gate: Gate, upstream: Upstream, coding: str) -> None:
    before = gate.rss_kib()
    line = gate.connect()
    body = b"[" * 10_000_000
    fields = request(content_encoding=coding)
    if coding:
        body = gzip.compress(body)
    stream = line.stream()
    line.say(line.head(stream, fields))
    sent = 0
    window = 65_535
    while sent < len(body):
        piece = body[sent : sent + 16_000]
        if not line.say(line.data(stream, piece, end=sent + len(piece) == len(body))):
            break
        sent += len(piece)
        window -= len(piece)
        while window < 16_000:
            if not line.hear(5):
                break
            window = 16_000 if line.closed or line.goaway else window + 16_000
    answer = line.answer(stream, 20)
    assert answer.status in (400, 413) or line.goaway or line.closed, answer
    assert upstream.heard() == []
    gate.is_well()
    line.close()
    assert gate.rss_kib() - before < 64 * 1024


def test_a_bomb_is_413_and_its_room_comes_back(gate: Gate, upstream: Upstream) -> None:
    bomb = gzip.compress(b"[" * 40_000_000)
    line = gate.connect()
    answer = line.answer(line.ask(request(content_encoding="gzip"), [bomb[n : n + 16_000] for n in range(0, len(bomb), 16_000)]))
    assert (answer.status, answer.code) == (413, "body_too_large"), answer
    assert upstream.heard() == []
    gate.is_well()
    line.close()


def raw(gate: Gate) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", gate.port), timeout=15)
    if gate.tls:
        context = ssl.create_default_context(cafile=str(gate.directory / "cert.pem"))
        context.set_alpn_protocols(["http/1.1"])
        return context.wrap_socket(sock, server_hostname="localhost")
    return sock


def http_1(body: bytes, key: str = "acme", extra: str = "") -> bytes:
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEYS[key]}\r\n"
        f"content-type: application/json\r\n{extra}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_over_http_1_a_slow_reader_is_held_to_the_total(gate: Gate, upstream: Upstream) -> None:
    name = f"slow-reader-{gate.port}"
    body = b'{"stream":true,"model":"slow-model","user":"sim:chunks=3000,pause_ms=10","messages":[{"role":"user","content":"hi"}]}'
    sock = raw(gate)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(http_1(body, "initech", f"x-request-id: {name}\r\n"))
    began = time.monotonic()
    while outcome(gate, name) is None and time.monotonic() - began < 15:
        sock.recv(50)
        time.sleep(0.1)
    assert 4 < time.monotonic() - began < 9
    sock.close()
    gate.is_well()


# TLS closes its own half; the socket's is not for it to see.
@pytest.mark.parametrize("running_gate", ["plain"], indirect=True)
def test_a_client_that_closes_its_half_counts_as_gone(gate: Gate, upstream: Upstream) -> None:
    name = f"half-closed-{gate.port}"
    sock = raw(gate)
    body = BODY.replace(b'"model"', b'"user":"sim:delay_ms=3000","model"')
    sock.sendall(http_1(body, extra=f"x-request-id: {name}\r\n"))
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(65536) == b""
    took, end = ended(gate, name, 9)
    assert end["end"] == "cancelled" and took < 2, (took, end)
    gate.is_well()
