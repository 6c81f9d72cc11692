# Each target prepares what it needs. `make` alone prints this help.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
NO_VENV := "$(PYTHON) cannot make a virtual environment (Debian: apt-get install python3-venv)"
STAMP := $(VENV)/.genjobs-ready
BENCH_STAMP := $(VENV)/.genjobs-bench-ready
# The pins hold for whatever index pip and uv are configured with; these would change the result.
CLEAN := env -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_FIND_LINKS -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL
COMPILE_FOR := $(CLEAN) $(BIN)/uv pip compile --quiet --system-certs --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
COMPILE := $(COMPILE_FOR) --universal

.PHONY: help setup demo test unit check format lint types imports slow deploy bench fix pins docs clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv with everything, from hashed pins

$(STAMP): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "genjobs needs python 3.11 or later with venv (Debian: apt-get install python3 python3-venv)" >&2; exit 1; fi
	@$(PYTHON) -m venv --without-pip $(VENV) || { echo $(NO_VENV) >&2; exit 1; }
	@# The Python's own pip fetches uv, where it has one: to install pip here takes seconds.
	@if $(PYTHON) -m pip --python $(BIN)/python --version >/dev/null 2>&1; then pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	else $(PYTHON) -m venv $(VENV) >/dev/null || { echo $(NO_VENV) >&2; exit 1; }; pip="$(BIN)/python -m pip"; fi; \
	$$pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --system-certs --require-hashes -r requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --system-certs --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup ## Run a real job on this machine over HTTP, and keep serving
	@$(BIN)/genjobs demo

# Four for two cores: much of it waits for processes, time-outs and outages.
test: setup ## Run the test suite
	$(BIN)/pytest -n 4 --dist worksteal -m "not slow"

unit: setup ## Run the tests that need no service
	$(BIN)/pytest tests/unit

check: format lint types imports ## Everything CI checks, the test suite last
	@$(MAKE) --no-print-directory test

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

slow: setup ## Run what is too long for make test
	$(BIN)/pytest -m slow

deploy: check ## Check, look, migrate and deploy at Modal, then run a job there
	@$(BIN)/python -m tools.deploy

$(BENCH_STAMP): requirements/bench.txt $(STAMP)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --system-certs --require-hashes -r requirements/bench.txt
	@touch $(BENCH_STAMP)

bench: $(BENCH_STAMP) ## Print the benchmarks, each a ratio to a floor measured in the same run
	$(BIN)/python -m bench

fix: setup ## Format and mend what can be mended automatically
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup ## Write the documents that are drawn from the code
	$(BIN)/python -m tools.docs

pins: ## Resolve the dependencies anew and write the hashed pins
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet 'uv>=0.13,<0.14'; }
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) --all-extras --group dev pyproject.toml -o requirements/dev.txt
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --group bench --constraints requirements/dev.txt -o requirements/bench.txt
	$(COMPILE_FOR) --python-platform x86_64-manylinux_2_28 requirements/comfyui.in -o requirements/comfyui.txt

clean: ## Remove the environment and caches; local data in .genjobs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
