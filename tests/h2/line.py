"""One HTTP/2 connection, frame by frame: says what no correct client would, and hears what comes of it.

Frames are hyperframe's, heads are hpack's; the order and content of both are the test's.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import select
import socket
import ssl
import time
from collections.abc import Iterable, Sequence

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
KEYS = json.loads((pathlib.Path(__file__).resolve().parent.parent / "sdk" / "config" / "keys.json").read_text())
CHAT = "/v1/chat/completions"
BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'
PATIENCE = 10.0

Field = tuple[str, str]


def request(path: str = CHAT, *, key: str = "acme", **more: str) -> list[Field]:
    """The fields of a good POST; a keyword replaces or adds one, `_` standing for `-`, "" leaving it out."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "localhost",
        ":path": path,
        "authorization": f"Bearer {KEYS[key]}",
        "content-type": "application/json",
    }
    for name, value in more.items():
        pseudo = f":{name}"
        fields[pseudo if pseudo in fields else name.replace("_", "-")] = value
    return [(name, value) for name, value in fields.items() if value]


@dataclasses.dataclass
class Answer:
    """What a stream came to."""

    status: int | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def refused(self) -> bool:
        """Reset, or answered with an error of the client's."""
        return self.reset is not None or (self.status is not None and (400 <= self.status < 500 or self.status == 501))

    @property
    def code(self) -> str:
        return self.headers.get("x-portcullis-reason", "")


class Line:
    """A connection to a gate."""

    def __init__(self, port: int, tls: ssl.SSLContext | None, settings: dict[str, int] | None = None) -> None:
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = tls
            context.set_alpn_protocols(["h2"])
            sock = context.wrap_socket(sock, server_hostname="localhost")
        self.sock = sock
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.answers: dict[int, Answer] = {}
        self.pings = 0
        self.settings_acks = 0
        self.goaway: int | None = None
        self.closed = False
        self.ahead = b""
        self.next = 1
        codes = {"window": 4, "streams": 3, "table": 1, "frame": 5, "connect": 8}
        first = SettingsFrame(0, settings={codes[name]: value for name, value in (settings or {}).items()})
        self.say(PREFACE + first.serialize())

    def say(self, *what: Frame | bytes) -> bool:
        """Sends; answers whether the other side still takes it."""
        data = b"".join(one if isinstance(one, bytes) else one.serialize() for one in what)
        try:
            self.sock.sendall(data)
        except OSError:
            self.closed = self.closed or not self.ahead and not self.readable(0)
            return False
        return True

    def readable(self, wait: float) -> bool:
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        return bool(select.select([self.sock], [], [], wait)[0])

    def head(self, stream: int, fields: Sequence[Field], *, end: bool = False, whole: bool = True) -> HeadersFrame:
        frame = HeadersFrame(stream, self.encoder.encode(list(fields)))
        frame.flags |= {"END_STREAM"} if end else set()
        frame.flags |= {"END_HEADERS"} if whole else set()
        return frame

    @staticmethod
    def data(stream: int, data: bytes, *, end: bool = False) -> DataFrame:
        frame = DataFrame(stream, data)
        frame.flags |= {"END_STREAM"} if end else set()
        return frame

    def stream(self) -> int:
        self.next += 2
        return self.next - 2

    def ask(self, fields: Sequence[Field], body: bytes | Iterable[bytes] | None = BODY) -> int:
        """Sends a whole request in well-formed frames."""
        stream = self.stream()
        if body is None:
            self.say(self.head(stream, fields, end=True))
            return stream
        pieces = [body] if isinstance(body, bytes) else list(body)
        frames = [self.data(stream, piece) for piece in pieces]
        frames[-1].flags.add("END_STREAM")
        self.say(self.head(stream, fields), *frames)
        return stream

    def hear(self, wait: float = 0.2) -> bool:
        """Takes in what has come, waiting so long for something; answers whether there was anything."""
        if self.closed:
            return False
        try:
            if not self.readable(wait):
                return False
            data = self.sock.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            return False
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        self.ahead += data
        while len(self.ahead) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self.ahead)[:9])
            if len(self.ahead) < 9 + length:
                break
            frame.parse_body(memoryview(self.ahead)[9 : 9 + length])
            self.ahead = self.ahead[9 + length :]
            self.take(frame)
        return True

    def take(self, frame: Frame) -> None:
        answer = self.answers.setdefault(frame.stream_id, Answer())
        if isinstance(frame, HeadersFrame):
            assert "END_HEADERS" in frame.flags, "the gate sends heads in one frame"
            for name, value in self.decoder.decode(frame.data):
                answer.headers[name] = value
            answer.status = int(answer.headers[":status"])
        elif isinstance(frame, DataFrame):
            answer.body += frame.data
        elif isinstance(frame, RstStreamFrame):
            answer.reset = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            self.goaway = frame.error_code
        elif isinstance(frame, PingFrame) and "ACK" in frame.flags:
            self.pings += 1
        elif isinstance(frame, SettingsFrame) and "ACK" in frame.flags:
            self.settings_acks += 1
        elif isinstance(frame, ContinuationFrame):
            raise AssertionError("the gate sends heads in one frame")
        if "END_STREAM" in getattr(frame, "flags", ()):
            answer.ended = True

    def until(self, done: object, patience: float = PATIENCE) -> bool:
        """Listens until `done()` or the end; answers whether it came to that."""
        deadline = time.monotonic() + patience
        while not done():  # type: ignore[operator]
            if self.closed or time.monotonic() > deadline:
                return bool(done())  # type: ignore[operator]
            self.hear()
        return True

    def answer(self, stream: int, patience: float = PATIENCE) -> Answer:
        """What the stream comes to: an answer, a reset, or the connection's end."""

        def done() -> bool:
            answer = self.answers.get(stream, Answer())
            return answer.ended or answer.reset is not None

        self.until(done, patience)
        return self.answers.get(stream, Answer())

    def is_over(self, patience: float = PATIENCE) -> bool:
        """Whether the gate ends the connection, by GOAWAY with an error or by closing it."""
        return self.until(lambda: self.closed or bool(self.goaway), patience) or self.closed

    def open_window(self, stream: int, by: int) -> None:
        self.say(WindowUpdateFrame(stream, window_increment=by), WindowUpdateFrame(0, window_increment=by))

    def close(self) -> None:
        self.sock.close()
