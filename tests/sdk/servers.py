"""The programs under test: the simulated LLM, the gate in front of it, and what tests ask of both.

`PORTCULLIS_BIN` names the gate's binary (default: target/debug/portcullis); `PORTCULLIS_SIMULATOR` may name another
program for the simulated LLM (default: the same binary, `portcullis simulate`).
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import httpx

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CONFIG = HERE / "config"
UPSTREAM_KEY = "sk-upstream-credential"
START_LIMIT_SECONDS = 30


class DidNotStart(Exception):
    """A program ended or stayed silent; carries the end of its log."""


class DidNotEnd(Exception):
    """A program did not end on SIGTERM, in time and with 0; carries the end of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def dead_port() -> Iterator[int]:
    """A port that refuses every connection for as long as the block lasts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], log: pathlib.Path, ready_url: str, env: dict[str, str] | None = None) -> Iterator[None]:
    """Runs a program until the block ends; enters the block once `ready_url` answers 200."""
    with log.open("wb") as sink:
        program = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        try:
            await_ready(program, ready_url, log)
            yield
        finally:
            program.terminate()
            try:
                program.wait(15)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
                raise DidNotEnd(f"{command} did not end on SIGTERM within 15 s\n{tail(log)}") from None
    if program.returncode != 0:
        raise DidNotEnd(f"{command} ended with {program.returncode} on SIGTERM\n{tail(log)}")


def await_ready(program: subprocess.Popen[bytes], url: str, log: pathlib.Path) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    last = "no answer"
    while time.monotonic() < deadline:
        if program.poll() is not None:
            raise DidNotStart(f"{program.args} ended with {program.returncode}\n{tail(log)}")
        try:
            answer = httpx.get(url, timeout=2)
            if answer.status_code == 200:
                return
            last = f"{answer.status_code} {answer.text[:300]}"
        except httpx.TransportError as why:
            last = repr(why)
        time.sleep(0.03)
    raise DidNotStart(f"{url} was not ready after {START_LIMIT_SECONDS} s: {last}\n{tail(log)}")


def tail(log: pathlib.Path) -> str:
    return log.read_text(errors="replace")[-4000:]


def binary() -> str:
    path = os.environ.get("PORTCULLIS_BIN", str(ROOT / "target" / "debug" / "portcullis"))
    if not pathlib.Path(path).is_file():
        raise DidNotStart(f"no gate at {path}: build it with `cargo build`, or name it in PORTCULLIS_BIN")
    return path


@dataclasses.dataclass(frozen=True)
class Heard:
    """One request as the simulated LLM received it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a field that stands once; None where it is absent."""
        values = [value for found, value in self.headers if found == name]
        assert len(values) < 2, f"{name} stands {len(values)} times"
        return values[0] if values else None


class Upstream:
    """The simulated LLM, seen from a test."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def heard(self) -> list[Heard]:
        """The requests since `forget`, oldest first; the simulator keeps 256."""
        return [
            Heard(r["method"], r["target"], [tuple(h) for h in r["headers"]], base64.b64decode(r["body"]))
            for r in httpx.get(f"{self.url}/sim/requests").raise_for_status().json()
        ]

    def only_heard(self) -> Heard:
        heard = self.heard()
        assert len(heard) == 1, f"{len(heard)} requests reached the upstream"
        return heard[0]

    def forget(self) -> None:
        httpx.delete(f"{self.url}/sim/requests").raise_for_status()

    def next(self, orders: str, times: int = 1) -> None:
        httpx.post(f"{self.url}/sim/next", json={"times": times, "orders": orders}).raise_for_status()

    def stats(self) -> dict[str, int]:
        return httpx.get(f"{self.url}/sim/stats").raise_for_status().json()


@dataclasses.dataclass(frozen=True)
class Gate:
    """The gate, seen from a test."""

    url: str
    admin_url: str
    directory: pathlib.Path


@contextlib.contextmanager
def simulated_llm(directory: pathlib.Path) -> Iterator[Upstream]:
    port = free_port()
    own = os.environ.get("PORTCULLIS_SIMULATOR")
    program = shlex.split(own) if own else [binary()]
    command = [*program, "simulate", "--listen", f"127.0.0.1:{port}", "--key", UPSTREAM_KEY]
    upstream = Upstream(port)
    with running(command, directory / "simulator.log", f"{upstream.url}/sim/stats"):
        yield upstream


@contextlib.contextmanager
def gate_before(upstream: Upstream, directory: pathlib.Path) -> Iterator[Gate]:
    """A gate with the suite's own policy set, copied so that nothing is written into the repository."""
    shutil.copytree(CONFIG, directory, dirs_exist_ok=True)
    port, admin_port = free_port(), free_port()
    with dead_port() as dead:
        env = {
            "DIR": str(directory),
            "PORT": str(port),
            "ADMIN_PORT": str(admin_port),
            "UPSTREAM_PORT": str(upstream.port),
            "DEAD_PORT": str(dead),
        }
        gate = Gate(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", directory)
        command = [binary(), "run", "--config", str(directory / "portcullis.yaml")]
        with running(command, directory / "gate.log", f"{gate.admin_url}/readyz", env):
            yield gate
