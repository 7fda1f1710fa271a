#!/usr/bin/env python3
"""What hostile connections cost the gate in memory, held against what its configuration promises.

    make bench-memory                                      builds a release and measures it
    PORTCULLIS_BIN=… python3 benches/gateway/memory.py     takes a binary as it is

Three kinds of slow connections, thousands at once: a head that does not end, a body that does not end, an HTTP/2
connection that asks nothing. Then more bodies than `limits.body_budget` has room for: plain ones, and gzip that
unpacks to as much. While each of them lasts, another tenant's call has to be answered. Prints resident memory, and
ends with 1 when a connection costs more than `--most-kib-per-connection`, or when a flood takes the process beyond its
budget by more than `--most-slack-mib`. Everything listens on loopback and is stopped at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gzip
import http.client
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONFIG = ROOT / "tests" / "sdk" / "config"
KEYS = json.loads((CONFIG / "keys.json").read_text())
PATH = "/v1/chat/completions"
GOOD = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'
MIB = 1 << 20
BODY_LIMIT = 8 * MIB
BODY_BUDGET = 64 * MIB
# Descriptors that are neither a slow connection nor the measure's own.
SPARE = 300


class Failed(Exception):
    """The measure cannot go on; the message says why."""


@dataclasses.dataclass(frozen=True)
class Gate:
    port: int
    pid: int

    def kib(self) -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def peak_kib(self) -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])

    def forget_peak(self) -> None:
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def answers(self) -> float:
        """Milliseconds that another tenant's call takes."""
        began = time.monotonic()
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"authorization": f"Bearer {KEYS['initech']}", "content-type": "application/json"}
        line.request("POST", PATH, GOOD, headers)
        answer = line.getresponse()
        answer.read()
        line.close()
        if answer.status != 200:
            raise Failed(f"another tenant's call was answered {answer.status}")
        return (time.monotonic() - began) * 1000


def main() -> None:
    arguments = read_arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < arguments.connections + SPARE:
        raise Failed(f"{arguments.connections} connections need {arguments.connections + SPARE} descriptors, `ulimit -Hn` is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, arguments.connections + SPARE), hard))
    program = os.environ.get("PORTCULLIS_BIN")
    if not program:
        subprocess.run(["cargo", "build", "--locked", "--release", "--bins"], cwd=ROOT, check=True)
        program = str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "portcullis")
    faults: list[str] = []
    # Each in a process of its own: what an allocator keeps from one kind would hide the cost of the next.
    for kind, first in SLOW.items():
        with running(program, arguments.connections) as gate:
            cost = slow(gate, kind, first, arguments.connections)
        if cost > arguments.most_kib_per_connection:
            faults.append(f"{kind}: {cost:.1f} KiB a connection, more than {arguments.most_kib_per_connection}")
    for kind, body, coding in floods():
        with running(program, arguments.connections) as gate:
            grown = flood(gate, kind, body, coding, arguments.flood)
        most = BODY_BUDGET // 1024 + arguments.most_slack_mib * 1024
        if grown > most:
            faults.append(f"{kind}: {grown:,} KiB more, the bound is {most:,}")
    for fault in faults:
        print(f"beyond the bound: {fault}", file=sys.stderr)
    if faults:
        raise SystemExit(1)
    print("all within their bounds")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--flood", type=int, default=64, help="bodies at once, each of the largest size")
    parser.add_argument("--most-kib-per-connection", type=float, default=48)
    parser.add_argument("--most-slack-mib", type=int, default=48, help="memory beyond the budget: buffers, allocator")
    return parser.parse_args()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def program_of(command: list[str], env: dict[str, str], ready: str, log: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    host, _, path = ready.partition("/")
    with log.open("wb") as sink:
        program = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env={**os.environ, **env})
    try:
        deadline = time.monotonic() + 30
        while True:
            if program.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{command[1]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            with contextlib.suppress(OSError):
                line = http.client.HTTPConnection(host, timeout=2)
                line.request("GET", f"/{path}")
                if line.getresponse().status == 200:
                    break
            time.sleep(0.05)
        yield program
    finally:
        program.terminate()
        try:
            program.wait(20)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


@contextlib.contextmanager
def running(binary: str, connections: int) -> Iterator[Gate]:
    """A gate before a simulated LLM, with time enough for everything slow and one tenant that may do it all at once."""
    with tempfile.TemporaryDirectory(prefix="portcullis-memory-") as name, contextlib.ExitStack() as stack:
        work = pathlib.Path(name)
        shutil.copytree(CONFIG, work, dirs_exist_ok=True)
        limits = {
            "connections": connections + SPARE // 2,
            "header_timeout": "10m",
            "body_timeout": "10m",
            "idle_timeout": "10m",
            "body_limit": BODY_LIMIT,
            "body_budget": BODY_BUDGET,
        }
        said = ", ".join(f"{key}: {value}" for key, value in limits.items())
        file = work / "portcullis.yaml"
        file.write_text(file.read_text() + f"\nlimits: {{{said}}}\ndrain: 1s\n")
        tenant = work / "policies" / "tenants" / "acme.yaml"
        tenant.write_text(tenant.read_text().replace("concurrent: 1024", f"concurrent: {2 * connections}"))
        upstream, port, admin, dead = free_port(), free_port(), free_port(), free_port()
        simulate = [binary, "simulate", "--listen", f"127.0.0.1:{upstream}", "--key", "sk-upstream-credential"]
        stack.enter_context(program_of(simulate, {}, f"127.0.0.1:{upstream}/sim/stats", work / "simulator.log"))
        env = {"DIR": name, "PORT": str(port), "ADMIN_PORT": str(admin), "UPSTREAM_PORT": str(upstream), "DEAD_PORT": str(dead)}
        run = [binary, "run", "--config", str(file)]
        program = stack.enter_context(program_of(run, env, f"127.0.0.1:{admin}/readyz", work / "gate.log"))
        yield Gate(port, program.pid)


def head(length: int, coding: str = "") -> bytes:
    coded = f"content-encoding: {coding}\r\n" if coding else ""
    return (
        f"POST {PATH} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {KEYS['acme']}\r\n"
        f"content-type: application/json\r\n{coded}content-length: {length}\r\n\r\n"
    ).encode()


SLOW: dict[str, bytes] = {
    "heads that do not end": head(1000)[:-30],
    "bodies that do not end": head(1000) + b"{",
    "HTTP/2 that asks nothing": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}
# A byte more for each: what HTTP/2 takes for one is a ping.
MORE: dict[str, bytes] = {"HTTP/2 that asks nothing": b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"}


def slow(gate: Gate, kind: str, first: bytes, connections: int) -> float:
    gate.answers()
    before = gate.kib()
    lines: list[socket.socket] = []
    try:
        for _ in range(connections):
            line = socket.create_connection(("127.0.0.1", gate.port), timeout=30)
            line.sendall(first)
            lines.append(line)
        for line in lines:
            line.sendall(MORE.get(kind, b"x"))
        settle(gate.kib)
        took = gate.answers()
        cost = (gate.kib() - before) / connections
        print(f"{kind:34}{before:>8,} KiB, then {gate.kib():>8,} KiB: {connections:,} at once, {cost:.1f} KiB each; another's call {took:.0f} ms")
        return cost
    finally:
        for line in lines:
            line.close()


def floods() -> Iterator[tuple[str, bytes, str]]:
    long = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"' + b"x" * (BODY_LIMIT - 200)
    yield "bodies of the largest size", long, ""
    yield "gzip of the largest size", gzip.compress(long + b'"}]}'), "gzip"
    yield "gzip beyond any size", gzip.compress(b"[" * (40 * BODY_LIMIT)), "gzip"


def flood(gate: Gate, kind: str, body: bytes, coding: str, times: int) -> int:
    """Sends it so often at once; a plain one lacks its last byte, so that it stays. Answers by how much memory grew."""
    gate.answers()
    before = gate.kib()
    gate.forget_peak()
    lines: list[socket.socket] = []
    answered: dict[str, int] = {}
    try:
        for _ in range(times):
            line = socket.create_connection(("127.0.0.1", gate.port), timeout=30)
            lines.append(line)
            with contextlib.suppress(OSError):
                line.sendall(head(len(body) + (0 if coding else 1), coding) + body)
        settle(gate.kib)
        took = answer_of(gate)
        for line in lines:
            line.settimeout(5 if coding else 0.01)
            with contextlib.suppress(OSError):
                status = line.recv(4096)[9:12].decode(errors="replace") or "closed"
                answered[status] = answered.get(status, 0) + 1
        grown = gate.peak_kib() - before
        said = ", ".join(f"{status}: {count}" for status, count in sorted(answered.items()))
        print(f"{kind:34}{before:>8,} KiB, then {gate.peak_kib():>8,} KiB at most: {grown:,} more; {said or 'all held'}; {took}")
        return grown
    finally:
        for line in lines:
            line.close()


def answer_of(gate: Gate) -> str:
    """With the budget used up another's call may be refused as overloaded, but at once."""
    try:
        return f"another's call {gate.answers():.0f} ms"
    except Failed:
        return "another's call was refused"
    except TimeoutError:
        raise Failed("another tenant's call was not answered while the flood lasted") from None


def settle(read: Callable[[], int]) -> None:
    """Waits until a figure holds still, at most 20 s."""
    last, deadline = read(), time.monotonic() + 20
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = read()
        if abs(now - last) <= max(64, last // 200):
            return
        last = now


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {why}")
