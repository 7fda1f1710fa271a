"""Fixtures: a simulated LLM and a gate with short limits, in plaintext or behind TLS, once a session."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import ipaddress
import json
import os
import pathlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import servers
from line import Line

KEYS: dict[str, str] = json.loads((servers.CONFIG / "keys.json").read_text())

# Short, so that what has to end does so within a test's patience.
LIMITS = """
limits: {header_timeout: 1s, body_timeout: 2s, idle_timeout: 3s, header_limit: 16KiB, body_limit: 10MiB, body_budget: 64MiB}
"""


@dataclasses.dataclass(frozen=True)
class Gate:
    """A gate of this suite."""

    port: int
    admin_url: str
    directory: pathlib.Path
    pid: int
    tls: ssl.SSLContext | None

    def connect(self, **settings: int) -> Line:
        return Line(self.port, self.tls, settings)

    def rss_kib(self) -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    def is_well(self) -> None:
        """Another tenant's call passes, soon, and the process is the one that was started."""
        scheme = "https" if self.tls else "http"
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {KEYS['initech']}"}
        answer = httpx.post(
            f"{scheme}://localhost:{self.port}/v1/chat/completions",
            json=body,
            headers=headers,
            timeout=5,
            verify=self.tls or True,
        )
        assert answer.status_code == 200, answer.text

    def records(self) -> list[dict[str, object]]:
        files = sorted((self.directory / "var" / "audit" / "segments").glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def certificate(directory: pathlib.Path) -> ssl.SSLContext:
    """A certificate for localhost that nobody signed, and a client's context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (directory / "cert.pem").write_bytes(made.public_bytes(pem))
    (directory / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return ssl.create_default_context(cafile=str(directory / "cert.pem"))


@contextlib.contextmanager
def gate_before(upstream: servers.Upstream, directory: pathlib.Path, tls: bool) -> Iterator[Gate]:
    shutil.copytree(servers.CONFIG, directory, dirs_exist_ok=True)
    file = directory / "portcullis.yaml"
    text = file.read_text() + LIMITS
    context = None
    if tls:
        context = certificate(directory)
        long = "listen: {address: '127.0.0.1:${PORT}', tls: {cert: cert.pem, key: key.pem}}"
        text = text.replace("listen: 127.0.0.1:${PORT}", long)
    file.write_text(text)
    port, admin_port = servers.free_port(), servers.free_port()
    admin_url = f"http://127.0.0.1:{admin_port}"
    with servers.dead_port() as dead:
        env = {
            **os.environ,
            "DIR": str(directory),
            "PORT": str(port),
            "ADMIN_PORT": str(admin_port),
            "UPSTREAM_PORT": str(upstream.port),
            "DEAD_PORT": str(dead),
        }
        log = directory / "gate.log"
        with log.open("wb") as sink:
            command = [servers.binary(), "run", "--config", str(file)]
            program = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=env)
            try:
                servers.await_ready(program, f"{admin_url}/readyz", log)
                yield Gate(port, admin_url, directory, program.pid, context)
            finally:
                program.terminate()
                program.wait(40)
        said = log.read_text(errors="replace")
        assert "a defect of the gate" not in said and "panicked" not in said, servers.tail(log)


@pytest.fixture(scope="session")
def running_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Upstream]:
    with servers.simulated_llm(tmp_path_factory.mktemp("simulator")) as upstream:
        yield upstream


@pytest.fixture(scope="session", params=["plain", "tls"])
def running_gate(
    request: pytest.FixtureRequest, running_upstream: servers.Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    with gate_before(running_upstream, tmp_path_factory.mktemp("gate"), request.param == "tls") as gate:
        yield gate


@pytest.fixture
def upstream(running_upstream: servers.Upstream) -> servers.Upstream:
    """The simulated LLM with nothing remembered."""
    running_upstream.forget()
    return running_upstream


@pytest.fixture
def gate(running_gate: Gate, upstream: servers.Upstream) -> Gate:
    return running_gate


@pytest.fixture
def line(gate: Gate) -> Iterator[Line]:
    with contextlib.closing(gate.connect()) as opened:
        yield opened
