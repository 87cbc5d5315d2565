# The one task runner. `make demo` and `make test` need nothing but Python >= 3.11 with pip, and git.
#
#   make demo     a whole disaster on this machine, start to end
#   make test     everything: check, then all tests on all cores
#   make check    format, lint, types, import contracts, architecture: under a minute
#   make bench    side by side with pgBackRest and pg_basebackup; prints ratios
#   make docs     regenerate the generated documents (error table, picture of the layers)
#   make soak     the long rounds that CI only samples
#   make clean    remove everything that these made (not your plans or repositories)
#
# PYTHON picks the interpreter of .venv, PYTEST adds options: make test PYTEST="-k wal -x"

PYTHON ?= $(firstword $(foreach name,python3 python3.11 python3.12 python3.13 python3.14,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(name))))
WORKERS ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
PYTEST ?=
BIN := .venv/bin

.PHONY: help demo test unit check bench docs soak clean ready ready-demo ready-bench
.DEFAULT_GOAL := help

help:
	@sed -n '3,11s/^# *//p' Makefile

demo: ready-demo
	$(BIN)/seawall demo

test: ready
	$(BIN)/python tools/prepare.py servers
	@status=0; \
	$(BIN)/python -m tools.check || status=1; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not soak" --ignore tests/architecture $(PYTEST) || status=1; \
	exit $$status

unit: ready
	$(BIN)/python -m pytest -n $(WORKERS) $(wildcard tests/unit tests/contract tests/architecture) $(PYTEST)

check: ready
	$(BIN)/python -m tools.check

bench: ready-bench
	$(BIN)/python benchmarks/run.py $(BENCH)

docs: ready
	$(BIN)/python -m tools.generate_docs

soak: ready
	$(BIN)/python tools/prepare.py servers
	$(BIN)/python -m pytest -m soak --timeout 3600 $(PYTEST)

clean:
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

ready-demo:
	@$(if $(PYTHON),,$(error no Python >= 3.11 found: install one, or name it with PYTHON=/path/to/python3))$(PYTHON) tools/prepare.py demo

ready:
	@$(if $(PYTHON),,$(error no Python >= 3.11 found: install one, or name it with PYTHON=/path/to/python3))$(PYTHON) tools/prepare.py dev

ready-bench: ready
	@$(BIN)/python tools/prepare.py bench
