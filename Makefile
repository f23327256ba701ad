# `make` prints this list. `make up` and `make test` need Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
CODE := chopar gateway services deploy docs/examples tests

.DEFAULT_GOAL := help
.PHONY: help up down clean install format lint types imports manifests lists schemas test test-fault bench check lock docs python

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# By `python -m`: the script `chopar` names the folder it was installed in, and a checkout may be moved.
CHOPAR := $(BIN)/python -m chopar.cli
INSTALLED = [ -e $(VENV)/.run ] || [ -e $(VENV)/.dev ]

up: $(VENV)/.run ## start Kafka, schema registry, gateway and services here; send two example demands
	@$(CHOPAR) up

down: ## stop what `make up` started
	@if $(INSTALLED); then $(CHOPAR) down; else echo "nothing was installed here, so nothing runs"; fi

clean: ## stop it and remove everything that was made here: state, virtual environment, caches
	@if $(INSTALLED); then $(CHOPAR) down || true; fi
	rm -rf .chopar $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

install: $(VENV)/.dev ## make the virtual environment with everything that developers need

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix-only --quiet $(CODE)

lint: $(VENV)/.dev ## check format and lint
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

types: $(VENV)/.dev ## check types, strictly
	$(BIN)/mypy

imports: $(VENV)/.dev ## check that imports point one way
	$(BIN)/lint-imports

manifests: $(VENV)/.dev ## make compose.yaml and the Kubernetes manifests from the code
	$(BIN)/python -m deploy.render

lists: $(VENV)/.dev ## make the lists (TOML) from the facts (CSV)
	$(BIN)/python -m gateway.lists.convert

schemas: $(VENV)/.dev ## prove each model equal to its Avro record, and each record fit for what earlier releases wrote
	$(BIN)/pytest -q tests/unit/test_messages.py tests/unit/test_released_schemas.py

# One process more than there are cores, as much of a run is waiting for real processes. These start hundreds of times,
# so what Python compiles is kept, whatever it is told elsewhere.
test: $(VENV)/.dev ## run all tests, one process a core and one more, each with a broker of its own
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses=$$(($(CORES) + 1)) --dist=loadgroup $(PYTEST_ARGS)

test-fault: $(VENV)/.dev ## kill, pause and cut off three brokers and all processes; nothing may be lost (10 minutes)
	$(BIN)/python -m tests.fault.harness $(FAULT_ARGS)

bench: $(VENV)/.dev ## measure what an exchange costs, on a broker of its own (8 minutes; BENCH_ARGS=--all: 30)
	$(BIN)/python -m tests.load.bench $(BENCH_ARGS)

check: lint types imports ## everything that must hold before a change is kept
	$(BIN)/python -m gateway.lists.convert --check
	$(BIN)/python -m deploy.render --check
	$(MAKE) test

docs: $(VENV)/.dev ## show the changelog as the next release would have it
	$(BIN)/towncrier build --draft --version next

lock: ## resolve the locks anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra broker --extra build --extra postgresql --extra speed pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --all-extras -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra postgresql --extra speed -c requirements.lock pyproject.toml -o deploy/requirements.lock

# One at a time: a second `make` waits here and then finds everything made. Python holds the lock (on this file), since
# flock(1) is not on every system.
LOCKER = $(firstword $(wildcard $(BIN)/python) $(PYTHON))
define one_at_a_time
"$(LOCKER)" -c 'import fcntl, subprocess, sys; lock = open("Makefile"); fcntl.flock(lock, fcntl.LOCK_EX); sys.exit(subprocess.call(sys.argv[1:]))' \
  sh -ec
endef

# What is there by the time the lock is ours is left alone; a virtual environment that was cut short is made again.
# uv installs the same lock in a fifth of the time; where it is absent pip does.
define install_lock
	@$(one_at_a_time) ' \
	  if [ $@ -nt $(1) ] && [ $@ -nt pyproject.toml ]; then exit 0; fi; \
	  if ! $(BIN)/python -c "import pip, sys; sys.exit(sys.prefix == sys.base_prefix)" 2>/dev/null; then \
	    echo "making $(VENV) ..."; rm -rf $(VENV); "$(PYTHON)" -m venv $(VENV); \
	  fi; \
	  printf "installing $(1), which may take a minute "; \
	  (while kill -0 $$$$ 2>/dev/null && sleep 2; do printf .; done) & dots=$$!; trap "kill $$dots; echo" EXIT; \
	  if command -v uv >/dev/null 2>&1; then uv pip install -q --python $(BIN)/python --require-hashes -r $(1); \
	  else $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1); fi; \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	  touch $@ $(2)'
endef

$(VENV)/.run: requirements.lock pyproject.toml | python
	$(call install_lock,requirements.lock)

$(VENV)/.dev: requirements-dev.lock pyproject.toml | python
	$(call install_lock,requirements-dev.lock,$(VENV)/.run)

# Asked only of who is to make a virtual environment.
python:
	@if $(INSTALLED); then exit 0; fi; \
	command -v "$(PYTHON)" >/dev/null 2>&1 || \
	  { echo "There is no program $(PYTHON). Chopar needs Python 3.11 or newer; try: make up PYTHON=python3.12"; exit 2; }; \
	version=$$("$(PYTHON)" --version 2>/dev/null) || \
	  { echo "$(PYTHON) does not run as a Python. Chopar needs 3.11 or newer; try: make up PYTHON=python3.12"; exit 2; }; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Chopar needs Python 3.11 or newer; $(PYTHON) is $$version. Try: make up PYTHON=python3.12"; exit 2; }; \
	"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu run 'apt install python3-venv'"; exit 2; }
