"""Fixtures: the programs once a session, clients once a test.

With `--direct` the happy paths run against the simulated LLM itself, without the gate; what needs the gate is
deselected, and pytest says how many. That is for work on the simulator, never for CI.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import anthropic
import openai
import pytest

import servers
from servers import Gate, Upstream

# What the developer's own shell sets for these SDKs must not steer them here.
STEERING = ("OPENAI_", "ANTHROPIC_", "AZURE_", "GOOGLE_", "GEMINI_", "AWS_", "CO_API_", "OLLAMA_")
for name in [name for name in os.environ if name.upper().startswith(STEERING) or name.upper().endswith("_PROXY")]:
    del os.environ[name]

KEYS: dict[str, str] = json.loads((servers.CONFIG / "keys.json").read_text())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--direct", action="store_true", help="ask the simulated LLM itself; needs no gate")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--direct"):
        return
    needing = [item for item in items if item.get_closest_marker("gate")]
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def running_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with servers.simulated_llm(tmp_path_factory.mktemp("simulator")) as upstream:
        yield upstream


@pytest.fixture
def upstream(running_upstream: Upstream) -> Upstream:
    """The simulated LLM with nothing remembered and nothing ordered."""
    running_upstream.forget()
    return running_upstream


@pytest.fixture(scope="session")
def running_gate(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with servers.gate_before(running_upstream, tmp_path_factory.mktemp("gate")) as gate:
        yield gate


@pytest.fixture
def gate(running_gate: Gate, upstream: Upstream) -> Gate:
    return running_gate


@pytest.fixture
def door(request: pytest.FixtureRequest, upstream: Upstream) -> str:
    """Where the SDKs knock: the gate, or with `--direct` the simulated LLM."""
    return upstream.url if request.config.getoption("--direct") else request.getfixturevalue("running_gate").url


@pytest.fixture
def key_of(request: pytest.FixtureRequest) -> Callable[[str], str]:
    direct = request.config.getoption("--direct")
    return lambda tenant: servers.UPSTREAM_KEY if direct else KEYS[tenant]


@pytest.fixture
def openai_for(door: str, key_of: Callable[[str], str]) -> Iterator[Callable[[str], openai.OpenAI]]:
    """An OpenAI client with the key of that name in config/keys.json; it never retries."""
    made: list[openai.OpenAI] = []

    def client(tenant: str) -> openai.OpenAI:
        made.append(openai.OpenAI(base_url=f"{door}/v1", api_key=key_of(tenant), max_retries=0, timeout=30))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def anthropic_for(door: str, key_of: Callable[[str], str]) -> Iterator[Callable[[str], anthropic.Anthropic]]:
    """An Anthropic client with the key of that name in config/keys.json; it never retries."""
    made: list[anthropic.Anthropic] = []

    def client(tenant: str) -> anthropic.Anthropic:
        made.append(anthropic.Anthropic(base_url=door, api_key=key_of(tenant), max_retries=0, timeout=30))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def acme(openai_for: Callable[[str], openai.OpenAI]) -> openai.OpenAI:
    return openai_for("acme")


@pytest.fixture
def acme_claude(anthropic_for: Callable[[str], anthropic.Anthropic]) -> anthropic.Anthropic:
    return anthropic_for("acme")


@pytest.fixture
def umbrella_key(key_of: Callable[[str], str]) -> str:
    return key_of("umbrella")
