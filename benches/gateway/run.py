#!/usr/bin/env python3
"""Portcullis, nginx and a bare hyper proxy in front of the same upstream, side by side on this machine.

    make bench                                   the whole of it
    python3 benches/gateway/run.py --quick       one short round, to see that it works

Upstream and load generator share the first core, each proxy has the second one. Rounds are interleaved (A B C, A B C
…), so that what the machine does meanwhile meets all. Figures are medians over the rounds. Processor time is user +
system of the proxy's process tree a request; it hardly moves with other load, requests per second do. Compare ratios
within one run only. Everything listens on loopback and is stopped at the end.

The gate runs with every check on: key, registry, limits, rules, risk scan, breaker, and the decision record durable
(group commit) before anything is forwarded. nginx and the bare proxy check nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
KEY = "pcl_bench_" + "5" * 64
PATH = "/v1/chat/completions"
STREAM_CHUNKS = 200

WORDS = """about after again all also and any are because been before between both but can come could day did does each even
every few find first for from get give good great group had has have help here how into its just keep know large last left
life like line little long look made make many may more most much must name need never new next not now number off often old
only open order other our out over own page part people place plan point read right run said same see set she should show
side small some state still such take tell than that their them then there these they thing think this those time turn two
under until use very want was water way week well went were what when where which while who why will with word work world
would write year budget meeting report customer project review schedule service contract delivery quarter figures team""".split()

SCENARIOS = {
    "closed-1k": {"body": "1k", "conns": 32},
    "closed-16k": {"body": "16k", "conns": 32},
    "closed-128k": {"body": "128k", "conns": 32},
    "stream-200": {"body": "1k-stream", "conns": 16},
    "open-1k": {"body": "1k", "conns": 64, "rate": 1000},
    "open-16k": {"body": "16k", "conns": 64, "rate": 1000},
}


class Failed(Exception):
    """The benchmark cannot go on; the message says why."""


def main() -> None:
    arguments = read_arguments()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failed("two cores are needed: one for the load, one for the proxy")
    if not arguments.no_build:
        run(["cargo", "build", "--release", "--bins", "--examples"], cwd=ROOT)
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-bench-")))
        bench = Bench(work, load_core=cores[0], proxy_core=cores[1], stack=stack)
        bodies = write_bodies(work)
        bench.start_upstream()
        targets = [bench.start(name) for name in arguments.targets.split(",")]
        for target in targets:
            target.check(bodies)
        time.sleep(0.5)
        for target in targets:
            target.idle_kib = memory_kib(target.pid) if target.pid else None
        rows = measure(bench, targets, bodies, arguments)
        print_report(rows, targets, arguments)
        if arguments.json:
            pathlib.Path(arguments.json).write_text(json.dumps(rows, indent=1))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default="direct,nginx,plain,portcullis")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warmup", type=float, default=0.7)
    parser.add_argument("--quick", action="store_true", help="one round of half a second: shows that it works, measures nothing")
    parser.add_argument("--no-build", action="store_true", help="take target/release as it is")
    parser.add_argument("--most-rss-mib", type=float, help="fail when a proxy's memory grew beyond this")
    parser.add_argument("--json", help="write every single result to this file too")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds, arguments.warmup = 1, 0.5, 0.2
    unknown = set(arguments.scenarios.split(",")) - SCENARIOS.keys()
    if unknown:
        raise Failed(f"unknown scenarios: {', '.join(sorted(unknown))}")
    return arguments


# Inputs


def prose(chance: random.Random, length: int) -> str:
    """Plain English without anything that a risk scan should find; figures are short."""
    sentences: list[str] = []
    size = 0
    while size < length:
        words = [chance.choice(WORDS) for _ in range(chance.randint(6, 18))]
        if chance.random() < 0.15:
            words.insert(chance.randrange(len(words)), str(chance.choice([3, 7, 12, 40, 150, 2019])))
        sentences.append(" ".join(words).capitalize() + chance.choice([".", ".", ".", "?"]))
        size += len(sentences[-1]) + 1
    return " ".join(sentences)[:length]


def write_bodies(work: pathlib.Path) -> dict[str, pathlib.Path]:
    """Chat bodies of exactly 1, 16 and 128 KiB in the key order of OpenAI's Python SDK: `model` after the messages."""
    written = {}
    for name, size, more in [
        ("1k", 1 << 10, ""),
        ("16k", 16 << 10, ""),
        ("128k", 128 << 10, ""),
        ("1k-stream", 1 << 10, ',"stream":true,"stream_options":{"include_usage":true}'),
    ]:
        turns = max(1, size // 4096) | 1
        head, tail = '{"messages":[', '],"model":"gpt-4o-mini","max_tokens":256,"temperature":0.2' + more + "}"
        frames = ['{"role":"%s","content":"' % ("user" if n % 2 == 0 else "assistant") for n in range(turns)]
        room = size - len(head) - len(tail) - sum(len(f) + 2 for f in frames) - (turns - 1)
        chance = random.Random(size)
        texts = [prose(chance, room // turns + (room % turns if n == 0 else 0)) for n in range(turns)]
        body = head + ",".join(f + t + '"}' for f, t in zip(frames, texts)) + tail
        assert len(body) == size and json.loads(body)["model"] == "gpt-4o-mini"
        written[name] = work / f"{name}.json"
        written[name].write_text(body)
    return written


NGINX = """worker_processes 1;
daemon off;
pid {work}/nginx.pid;
error_log {work}/nginx-error.log error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {work}/nginx-body;
    proxy_temp_path {work}/nginx-proxy;
    fastcgi_temp_path {work}/nginx-fastcgi;
    uwsgi_temp_path {work}/nginx-uwsgi;
    scgi_temp_path {work}/nginx-scgi;
    keepalive_requests 100000000;
    client_max_body_size 16m;
    client_body_buffer_size 256k;
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""

GATE = {
    "portcullis.yaml": """listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
state: {work}/var
policies: {work}/policies
trust: none
upstreams:
  model:
    url: http://127.0.0.1:{upstream}
    api_key: sk-bench-upstream
audit: {{durability: group, on_failure: block}}
""",
    "policies/models/gpt-4o-mini.yaml": """model: gpt-4o-mini
version: "2024-07-18"
upstream: model
status: approved
risk_level: limited
price: {{currency: USD, input_per_million: "0.15", output_per_million: "0.60"}}
approval: {{by: carol, at: 2026-10-02T09:00:00Z, reason: "benchmark"}}
""",
    "policies/models/gpt-4o.yaml": """model: gpt-4o
version: "2024-08-06"
upstream: model
status: pending
risk_level: limited
""",
    "policies/prompts/support-triage/1.yaml": """prompt: support-triage
version: 1
status: approved
author: dana
change_reason: first version
template: |
  You are the support assistant of {{{{company}}}}. Answer politely.
""",
    "policies/rules/base.yaml": """rules:
  - name: no-personal-data-to-external-models
    when: model.external && risk.count("personal_data") > 0
    then: block
    reason: personal data may not leave
  - name: no-audio
    when: request.operation == "audio"
    then: block
    reason: there is no audio use case on file
""",
    "policies/risk/default.yaml": """profile: default
weights: {{personal_data: 70, external_model: 50, credential: 90, prompt_injection: 60}}
block_at: 50
mode: enforce
""",
    "policies/tenants/acme.yaml": """tenant: acme
organization: acme-bank
environment: prod
keys:
  - {{id: bench, hash: "sha256:{hash}", roles: [client]}}
models: [gpt-4o-mini, gpt-4o]
prompts: optional
limits:
  requests_per_minute: {{rate: 100000000, burst: 100000000, algorithm: gcra}}
  tokens_per_minute: 4000000000
  concurrent: 4096
risk: {{profile: default}}
""",
}


# Programs


class Target:
    """One thing that answers on a port."""

    def __init__(self, name: str, port: int, pid: int | None, headers: dict[str, str]) -> None:
        self.name, self.port, self.pid, self.headers = name, port, pid, headers
        self.idle_kib: int | None = None

    def ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", PATH, body, {"content-type": "application/json", **self.headers})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def check(self, bodies: dict[str, pathlib.Path]) -> None:
        """It forwards every body whole; the gate also refuses what it must, so that the checks are really on."""
        for name, path in bodies.items():
            status, headers, answer = self.ask(path.read_bytes())
            if status != 200:
                raise Failed(f"{self.name} answered {name} with {status}: {answer[:300]!r}")
            if name.endswith("stream") and answer.count(b"data: ") != STREAM_CHUNKS + 3:
                raise Failed(f"{self.name} passed {answer.count(b'data: ')} events on, not {STREAM_CHUNKS + 3}")
        if self.name == "portcullis":
            if "#" not in headers.get("x-portcullis-audit", ""):
                raise Failed("the gate names no audit record: is the audit log on?")
            plain = bodies["1k"].read_bytes()
            for why, body in [
                ("a model that is not approved", plain.replace(b'"gpt-4o-mini"', b'"gpt-4o"')),
                ("a card number", plain.replace(b'"content":"', b'"content":"Card 4539 1488 0343 6467. ', 1)),
            ]:
                if self.ask(body)[0] != 403:
                    raise Failed(f"the gate let {why} pass")


class Bench:
    """Starts programs pinned to their core and stops them with the stack."""

    def __init__(self, work: pathlib.Path, load_core: int, proxy_core: int, stack: contextlib.ExitStack) -> None:
        self.work, self.load_core, self.proxy_core, self.stack = work, load_core, proxy_core, stack
        self.upstream = 0

    def start_upstream(self) -> None:
        self.upstream = free_port()
        self.spawn("upstream", [str(RELEASE / "examples/fast_upstream"), f"127.0.0.1:{self.upstream}"], self.upstream, self.load_core)

    def start(self, name: str) -> Target:
        if name == "direct":
            return Target(name, self.upstream, None, {})
        port = free_port()
        ready, headers = None, {}
        if name == "nginx":
            config = self.work / "nginx.conf"
            config.write_text(NGINX.format(work=self.work, port=port, upstream=self.upstream))
            command = [nginx(), "-c", str(config), "-e", str(self.work / "nginx-start.log")]
        elif name == "plain":
            command = [str(RELEASE / "examples/plain_proxy"), f"127.0.0.1:{port}", f"127.0.0.1:{self.upstream}"]
        elif name == "portcullis":
            ready, headers = free_port(), {"authorization": f"Bearer {KEY}"}
            digest = hashlib.sha256(KEY.encode()).hexdigest()
            for path, text in GATE.items():
                file = self.work / "gate" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text.format(work=self.work / "gate", port=port, admin=ready, upstream=self.upstream, hash=digest))
            command = [str(RELEASE / "portcullis"), "run", "--config", str(self.work / "gate/portcullis.yaml")]
        else:
            raise Failed(f"unknown target {name}")
        pid = self.spawn(name, command, port, self.proxy_core)
        if ready:
            await_port(ready)
        return Target(name, port, pid, headers)

    def spawn(self, name: str, command: list[str], port: int, core: int) -> int:
        log = (self.work / f"{name}.log").open("wb")
        self.stack.callback(log.close)
        # taskset replaces itself with the program, so that the process id is the program's.
        program = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.stack.callback(stop, program)
        try:
            await_port(port, program)
        except Failed as why:
            raise Failed(f"{name}: {why}\n{(self.work / f'{name}.log').read_text(errors='replace')[-2000:]}") from None
        return program.pid

    def load(self, target: Target, scenario: dict[str, object], body: pathlib.Path, arguments: argparse.Namespace) -> dict:
        command = [
            *["taskset", "-c", str(self.load_core), str(RELEASE / "examples/loadgen")],
            *["--url", f"http://127.0.0.1:{target.port}{PATH}", "--body", str(body), "--conns", str(scenario["conns"])],
            *["--warmup", str(arguments.warmup), "--seconds", str(arguments.seconds)],
        ]
        for name, value in target.headers.items():
            command += ["--header", f"{name}: {value}"]
        if "rate" in scenario:
            command += ["--rate", str(scenario["rate"])]
        if target.pid:
            command += ["--pid", str(target.pid)]
        return json.loads(run(command, capture=True))


def nginx() -> str:
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not found:
        apt = [] if os.geteuid() == 0 else ["sudo"]
        run([*apt, "apt-get", "update"])
        run([*apt, "apt-get", "install", "-y", "--no-install-recommends", "nginx-light"])
        found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not found:
        raise Failed("nginx could not be installed; name other --targets to go without it")
    return found


def run(command: list[str], capture: bool = False, **more: object) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE if capture else None, text=True, check=False, **more)
    if done.returncode:
        raise Failed(f"`{' '.join(command)}` ended with {done.returncode}")
    return done.stdout or ""


def stop(program: subprocess.Popen[bytes]) -> None:
    if program.poll() is None:
        program.send_signal(signal.SIGTERM)
        try:
            program.wait(20)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_port(port: int, program: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if program and program.poll() is not None:
            raise Failed(f"it ended with {program.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return
        time.sleep(0.03)
    raise Failed(f"nothing listens on port {port} after 20 s")


def memory_kib(pid: int) -> int:
    """Resident memory of a process and its children."""
    listed = run(["ps", "-o", "rss=", "-p", str(pid), "--ppid", str(pid)], capture=True)
    return sum(map(int, listed.split()))


# Measuring and reporting


def measure(bench: Bench, targets: list[Target], bodies: dict[str, pathlib.Path], arguments: argparse.Namespace) -> list[dict]:
    rows = []
    for number in range(arguments.rounds):
        for name in arguments.scenarios.split(","):
            for target in targets:
                figures = bench.load(target, SCENARIOS[name], bodies[SCENARIOS[name]["body"]], arguments)
                rows.append({"round": number, "scenario": name, "target": target.name, **figures})
                cpu = figures["cpu_us_per_request"]
                print(
                    f"[{number + 1}/{arguments.rounds}] {name:12} {target.name:11} {figures['per_second']:9.0f}/s"
                    + (f" {cpu:9.1f} us CPU" if cpu is not None else ""),
                    file=sys.stderr,
                )
    return rows


def print_report(rows: list[dict], targets: list[Target], arguments: argparse.Namespace) -> None:
    for name in arguments.scenarios.split(","):
        # In an open loop the processor time is too short for the kernel's clock ticks to tell.
        streamed, opened = name.startswith("stream"), "rate" in SCENARIOS[name]
        columns = ["target", "requests/s"]
        columns += [] if opened else ["CPU µs/request", "× nginx", "user + system µs"]
        columns += ["p50 µs", "p99 µs"]
        columns += ["added p50 µs", "added p99 µs"] if opened else []
        columns += ["first event p50 µs"] if streamed else []
        columns += ["not 200 or broken"]
        print(f"\n### {name}: median of {arguments.rounds} rounds of {arguments.seconds:g} s\n")
        print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
        base = median(rows, name, "nginx", "cpu_us_per_request")
        for target in targets:
            cpu = median(rows, name, target.name, "cpu_us_per_request")
            ratio = f"{cpu / base:.2f}" if cpu and base else "–"
            split = " + ".join(show(median(rows, name, target.name, f"{part}_us_per_request")) for part in ("user", "system"))
            cells = [target.name, show(median(rows, name, target.name, "per_second"), 0)]
            cells += [] if opened else [show(cpu), ratio, split]
            times = [median(rows, name, target.name, "latency_us", q) for q in ("p50", "p99")]
            direct = [median(rows, name, "direct", "latency_us", q) for q in ("p50", "p99")]
            cells += [show(value, 0) for value in times]
            if opened:
                cells += [show(a - b, 0) if a and b else "–" for a, b in zip(times, direct)]
            cells += [show(median(rows, name, target.name, "first_event_us", "p50"), 0)] if streamed else []
            cells += [str(sum(broken(row) for row in rows if (row["scenario"], row["target"]) == (name, target.name)))]
            print("| " + " | ".join(cells) + " |")
    print("\n### Memory\n\n| target | RSS idle MiB | RSS peak MiB |\n|---|---|---|")
    for target in targets:
        if target.pid:
            peak = max(row["rss_peak_kib"] for row in rows if row["target"] == target.name)
            print(f"| {target.name} | {target.idle_kib / 1024:.1f} | {peak / 1024:.1f} |")
            if arguments.most_rss_mib and peak > arguments.most_rss_mib * 1024:
                raise Failed(f"{target.name} grew to {peak / 1024:.0f} MiB")
    if any(broken(row) for row in rows):
        raise Failed("some requests were not answered 200 or broke: the figures above do not count")


def broken(row: dict) -> int:
    not_ok = sum(n for status, n in row["statuses"].items() if status != "200")
    return not_ok + row["io_errors"] + row["timeouts"] + row["incomplete_streams"] + row["lost"]


def median(rows: list[dict], scenario: str, target: str, *path: str) -> float | None:
    values = []
    for row in rows:
        if (row["scenario"], row["target"]) == (scenario, target):
            value: object = row
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                values.append(value)
    return statistics.median(values) if values else None


def show(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(f"bench: {why}")
