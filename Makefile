# Everything that people and CI run. All builds but the benchmark's are dev builds in one target directory.
#
#   make demo     the gate before a simulated LLM, real calls, nothing else needed
#   make test     what CI runs: format, lints, Rust tests, the vendors' SDKs
#   make bench    the gate beside nginx and a bare proxy (release build, several minutes)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

CARGO ?= cargo
# How long `make soak` loads the gate, per scenario; at most 600.
SOAK_SECONDS ?= 60
# How long `make fuzz` feeds each target, in seconds; at most 3600.
FUZZ_SECONDS ?= 60
# Extra arguments of `make demo` and `make bench`, as in `make demo ARGS=--serve`.
ARGS ?=

apt := $(shell [ "$$(id -u)" = 0 ] || echo sudo) env DEBIAN_FRONTEND=noninteractive apt-get
header = @printf '\n=== %s ===\n' "$(1)"

.PHONY: help
help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

.PHONY: demo
demo: ## Show the gate at work with a simulated LLM (dev build: the quickest on a fresh machine).
	$(call header,demo)
	$(CARGO) run --locked -- demo $(ARGS)

.PHONY: test
test: fmt-check lint unit sdk hostile ## Run everything that CI runs.

.PHONY: fmt
fmt: ## Format the code.
	$(CARGO) fmt

.PHONY: fmt-check
fmt-check: ## Fail on code that is not formatted.
	$(call header,format)
	$(CARGO) fmt --check

.PHONY: lint
lint: packages ## Fail on any lint.
	$(call header,lints)
	$(CARGO) clippy --locked --all-targets -- -D warnings

.PHONY: unit
unit: packages ## Run the Rust tests: units, properties, integration, documentation.
	$(call header,Rust tests)
	$(CARGO) test --locked --no-fail-fast

.PHONY: build
build: packages
	$(call header,build)
	$(CARGO) build --locked

.PHONY: sdk
sdk: sdk-python sdk-frameworks sdk-node ## Drive the gate with the vendors' own SDKs, and with frameworks.

.PHONY: sdk-python
sdk-python: build .venv/installed
	$(call header,Python SDKs)
	PORTCULLIS_BIN="$${PORTCULLIS_BIN:-$(CURDIR)/target/debug/portcullis}" .venv/bin/python -m pytest tests/sdk

.PHONY: sdk-frameworks
sdk-frameworks: build .venv-frameworks/installed
	$(call header,Python frameworks)
	PORTCULLIS_BIN="$${PORTCULLIS_BIN:-$(CURDIR)/target/debug/portcullis}" .venv-frameworks/bin/python -m pytest tests/frameworks

.PHONY: hostile
hostile: build .venv/installed ## Drive the gate with hostile HTTP/2, frame by frame.
	$(call header,hostile HTTP/2)
	PORTCULLIS_BIN="$${PORTCULLIS_BIN:-$(CURDIR)/target/debug/portcullis}" .venv/bin/python -m pytest tests/h2

.PHONY: sdk-node
sdk-node: build tests/node/node_modules/.package-lock.json
	$(call header,Node SDKs)
	cd tests/node && PORTCULLIS_BIN="$${PORTCULLIS_BIN:-$(CURDIR)/target/debug/portcullis}" npm test --silent

.venv/installed: tests/sdk/requirements.txt | packages
	$(call header,Python packages)
	python3 -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/sdk/requirements.txt
	.venv/bin/python -m pip check
	touch $@

# A tree of their own: LangChain and LiteLLM want other versions of the vendors' SDKs.
.venv-frameworks/installed: tests/frameworks/requirements.txt | packages
	$(call header,Python packages of the frameworks)
	python3 -m venv --clear .venv-frameworks
	.venv-frameworks/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/frameworks/requirements.txt
	.venv-frameworks/bin/python -m pip check
	touch $@

tests/node/node_modules/.package-lock.json: tests/node/package-lock.json tests/node/package.json | packages
	$(call header,Node packages)
	cd tests/node && npm ci --no-audit --no-fund
	touch $@

# Installs what is missing, and nothing where nothing is; npm last, because some nodejs packages bring it along. What cannot be had ends the run: no suite is left out quietly.
.PHONY: packages
packages:
	@missing=(); \
	command -v cc > /dev/null || missing+=(gcc libc6-dev); \
	type -P kill > /dev/null || missing+=(procps); \
	command -v redis-server > /dev/null || missing+=(redis-server); \
	command -v openssl > /dev/null || missing+=(openssl); \
	python3 -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3 python3-venv); \
	command -v node > /dev/null || missing+=(nodejs); \
	install() { \
		printf '\n=== Debian packages: %s ===\n' "$$*"; \
		$(apt) update --quiet; \
		$(apt) install --yes --quiet --no-install-recommends "$$@"; \
	}; \
	(( $${#missing[@]} == 0 )) || install "$${missing[@]}"; \
	command -v npm > /dev/null || install npm; \
	for tool in $(CARGO) cc kill redis-server openssl python3 node npm; do \
		type -P "$$tool" > /dev/null || { echo "make: $$tool is missing and could not be installed" >&2; exit 1; }; \
	done; \
	python3 -c 'import ensurepip, venv' || { echo "make: python3 cannot make virtual environments" >&2; exit 1; }; \
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: Python 3.11 or newer is needed" >&2; exit 1; }; \
	node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' || { echo "make: Node 18 or newer is needed" >&2; exit 1; }

.PHONY: bench
bench: ## Measure the gate beside nginx and a bare proxy (installs nginx where it is missing).
	$(call header,side by side)
	python3 benches/gateway/run.py $(ARGS)

.PHONY: bench-memory
bench-memory: ## Hold the memory of 10,000 slow connections and of a body flood against the configured bounds.
	$(call header,memory)
	python3 benches/gateway/memory.py $(ARGS)

.PHONY: soak
soak: ## Load the gate for SOAK_SECONDS a scenario; fail on a lost call or on memory that grows.
	$(call header,soak)
	python3 benches/gateway/run.py --targets portcullis --scenarios closed-1k,closed-128k,stream-200 \
		--rounds 1 --seconds $(SOAK_SECONDS) --most-rss-mib 256 $(ARGS)

# The fuzzer's instrumentation is a flag of the compiler's that stable toolchains take with RUSTC_BOOTSTRAP only. What it
# learns goes to target/; the seeds in fuzz/corpus stay as they are.
.PHONY: fuzz
fuzz: packages ## Fuzz every reader for FUZZ_SECONDS each; fail on a finding.
	$(call header,fuzz)
	command -v cargo-fuzz > /dev/null || $(CARGO) install cargo-fuzz --locked
	command -v c++ > /dev/null || { $(apt) update --quiet; $(apt) install --yes --quiet --no-install-recommends g++; }
	for target in $$(RUSTC_BOOTSTRAP=1 $(CARGO) fuzz list); do \
		mkdir -p target/fuzz-corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target target/fuzz-corpus/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -print_final_stats=1; \
	done

.PHONY: clean
clean: ## Remove everything that was built or installed here.
	$(CARGO) clean
	rm -rf .venv .venv-frameworks tests/node/node_modules tests/sdk/__pycache__ tests/frameworks/__pycache__ tests/h2/__pycache__ var
