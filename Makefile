# `make help` says what there is. Everything runs in .venv, which scripts/setup-env makes and keeps up to date.
SHELL = /bin/sh
.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help say serve extra test test-long test-indextts test-clients test-bridge quick lint types rooms bench bench-bridge bench-vibevoice bench-indextts test-gpu lock format clean

PYTHON ?= python3
BIN = .venv/bin
INDEXTTS = .tools/indextts/bin/python
# A file stays with one worker, and so do the servers that it starts.
ON_EVERY_CORE = --dist=loadfile --numprocesses=auto
# One worker more than there are cores: many tests wait half of their time, for a process to start or sound to be played.
AND_ONE_MORE = --dist=loadfile --numprocesses=$$(($$(getconf _NPROCESSORS_ONLN) + 1))
# Where a machine stands still for seconds a test may fail by chance; why the first try failed is shown at the end.
SECOND_TRY = --reruns=1 --reruns-delay=3 --max-suite-reruns=5 --rerun-show-tracebacks
SET_UP = @command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found; install Python 3.11 or newer." >&2; exit 1; }; \
	$(PYTHON) scripts/setup-env

# The text reaches the command through the environment, untouched by make and by the shell.
unexport TEXT
export OSCINE_MAKE_TEXT := $(value TEXT)

help:
	@echo 'make say TEXT="Hello world."  speak a text into hello.mp3'
	@echo 'make serve                    start the server; OPTIONS="--port 9000" goes to it'
	@echo 'make extra EXTRA=vibevoice    what VibeVoice needs, into .venv; other extras are in docs/engines.md'
	@echo 'make test                     everything that CI runs'
	@echo 'make quick                    the part of it that takes two minutes'
	@echo 'make test-long                the tests that take minutes each'
	@echo "make test-indextts            the part of it that tests IndexTTS's engines, in their own environment"
	@echo 'make test-clients             other programs that speak through the server: Open WebUI, LiveKit and more'
	@echo 'make test-bridge              all tests of the bridge, in the runtime of Cloudflare; `make test` has a part'
	@echo 'make bench                    the benchmarks; figures in docs/benchmarks.md'
	@echo 'make bench-bridge             what the bridge adds to the first sound, and its sub-requests'
	@echo 'make bench-vibevoice          VibeVoice beside transformers, with random weights; OPTIONS="--model 1.5B" goes to it'
	@echo 'make bench-indextts           IndexTTS beside its own packages; OPTIONS="..." goes to it'
	@echo 'make test-gpu                 the tests that need a GPU; PYTHON_GPU=... has a PyTorch that sees it'
	@echo 'make format                   format the code and mend what can be mended'
	@echo 'make lock                     write requirements/*.lock anew (UPGRADE=1: the newest versions)'
	@echo 'make clean                    remove what the commands above made'

say: .venv/ready-core
	@[ -n "$$OSCINE_MAKE_TEXT" ] || { echo 'Say what? For example: make say TEXT="Hello world."' >&2; exit 2; }
	@$(BIN)/oscine say -o hello.mp3 -- "$$OSCINE_MAKE_TEXT"

serve: .venv/ready-serve
	@$(BIN)/oscine serve $(OPTIONS)

extra: .venv/ready-core
	@[ -n "$(EXTRA)" ] || { echo 'Which extra? For example: make extra EXTRA=vibevoice' >&2; exit 2; }
	$(SET_UP) extra $(EXTRA)

TEST_INDEXTTS = $(INDEXTTS) -m pytest $(ON_EVERY_CORE) $(SECOND_TRY) tests/engines/indextts

test: lint types rooms .tools/openai1/ready .tools/indextts/ready bridge/node_modules/.node
	$(BIN)/pytest $(AND_ONE_MORE) $(SECOND_TRY)
	$(TEST_INDEXTTS)

# IndexTTS's packages bring scipy, which must not be in .venv.
test-indextts: .tools/indextts/ready
	$(TEST_INDEXTTS)

# What takes minutes each: installations that are killed, loops for memory, grammars that are compiled.
test-long: .venv/ready-dev .tools/indextts/ready .tools/openai1/ready bridge/node_modules/.node
	$(BIN)/pytest $(ON_EVERY_CORE) --ignore=tests/bridge -m long
	$(BIN)/pytest -m "long or not long" tests/bridge
	$(TEST_INDEXTTS) -m long

test-bridge: .venv/ready-dev .tools/openai1/ready bridge/node_modules/.node
	$(BIN)/pytest -m "long or not long" tests/bridge

# What these programs make of the server: real code of theirs, in environments of their own.
test-clients: .venv/ready-dev .tools/agents/ready .tools/litellm/ready .tools/openwebui/ready .tools/wyoming/ready
	$(BIN)/pytest -m clients tests/clients

# Without what starts processes, runs the pages or floods the text room: that takes longer than all the rest.
quick: lint
	$(BIN)/pytest $(ON_EVERY_CORE) -m "not slow and not long and not gpu and not clients" --ignore=tests/cli --ignore=tests/docs --ignore=tests/bridge --ignore=tests/text/test_floods.py

lint: .venv/ready-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/shellcheck bootstrap.sh scripts/container/*.sh .ci/run
	$(BIN)/hadolint Dockerfile

types: .venv/ready-dev
	$(BIN)/mypy

rooms: .venv/ready-dev
	$(BIN)/lint-imports

bench: .venv/ready-dev .tools/quality/ready bridge/node_modules/.node
	$(BIN)/python -m bench

bench-bridge: .venv/ready-dev bridge/node_modules/.node
	$(BIN)/python -m bench.bridge

# Where a GPU is, PYTHON_GPU names a Python whose PyTorch sees it: the one in .venv is for CPUs. Waiting threads let
# others have their core: on a machine that is shared, threads that spin make a frame of a CPU take ten times as long.
PYTHON_GPU ?= $(BIN)/python
NEEDED_WITH_TORCH = $(if $(filter $(BIN)/python,$(PYTHON_GPU)),.venv/ready-dev)

bench-vibevoice: $(NEEDED_WITH_TORCH)
	PYTHONPATH=src OMP_WAIT_POLICY=passive $(PYTHON_GPU) -m bench.vibevoice $(OPTIONS)

bench-indextts: $(if $(NEEDED_WITH_TORCH),.tools/indextts/ready)
	PYTHONPATH=src OMP_WAIT_POLICY=passive $(if $(NEEDED_WITH_TORCH),$(INDEXTTS),$(PYTHON_GPU)) -m bench.indextts $(OPTIONS)

test-gpu: $(NEEDED_WITH_TORCH)
	PYTHONPATH=src $(PYTHON_GPU) -m pytest -m gpu tests

format: .venv/ready-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: .venv/ready-dev
	PATH="$$PATH:$(CURDIR)/.tools/uv/bin" scripts/lock $(if $(UPGRADE),--upgrade)

clean:
	rm -rf .venv .tools bridge/node_modules build dist bench/out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache hello.*
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/ready-core: pyproject.toml scripts/setup-env requirements/core.lock requirements/bootstrap.lock
	$(SET_UP) core

.venv/ready-serve: pyproject.toml scripts/setup-env requirements/serve.lock requirements/bootstrap.lock
	$(SET_UP) serve

.venv/ready-dev: pyproject.toml scripts/setup-env requirements/dev.lock requirements/torch-cpu.txt requirements/bootstrap.lock
	$(SET_UP) dev

.tools/indextts/ready: pyproject.toml requirements/torch-cpu.txt requirements/torchaudio-cpu.txt requirements/stand-ins/cdifflib.py

.tools/%/ready: scripts/setup-env requirements/%.lock requirements/bootstrap.lock
	$(SET_UP) $*

bridge/node_modules/.node: bridge/package.json bridge/package-lock.json scripts/setup-bridge
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found; install Python 3.11 or newer." >&2; exit 1; }
	@PYTHON=$(PYTHON) scripts/setup-bridge
