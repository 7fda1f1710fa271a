"""Fixtures: the programs of the SDK suite, started for the frameworks' clients."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

import servers
from servers import Gate, Upstream

# What the developer's own shell sets for these clients must not steer them here.
STEERING = ("OPENAI_", "ANTHROPIC_", "COHERE_", "OLLAMA_", "LANGCHAIN_", "LANGSMITH_", "LITELLM_")
for name in [name for name in os.environ if name.upper().startswith(STEERING) or name.upper().endswith("_PROXY")]:
    del os.environ[name]
# LiteLLM asks the internet for prices when it is imported, unless this is set.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

KEY: str = json.loads((servers.CONFIG / "keys.json").read_text())["wayne"]


@pytest.fixture(scope="session")
def running_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with servers.simulated_llm(tmp_path_factory.mktemp("simulator")) as upstream:
        yield upstream


@pytest.fixture(scope="session")
def running_gate(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with servers.gate_before(running_upstream, tmp_path_factory.mktemp("gate")) as gate:
        yield gate


@pytest.fixture
def upstream(running_upstream: Upstream) -> Upstream:
    """The simulated LLM with nothing remembered."""
    running_upstream.forget()
    return running_upstream


@pytest.fixture
def door(running_gate: Gate, upstream: Upstream) -> str:
    return running_gate.url
