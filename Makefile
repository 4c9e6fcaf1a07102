# The commands of a contributor. Each does its own set-up, given Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := .peers
PEERS_INSTALLED := $(PEERS)/.installed
NAME ?=

.PHONY: help install demo test check check-all lint types contract docs bench lock clean

help:
	@echo "make demo       train on scikit-learn's digits and open the report"
	@echo "make test       the tests that every change must pass"
	@echo "make check      lint, types, import contract"
	@echo "make check-all  everything, long tests and full fuzzing included"
	@echo "make docs       the documentation, into site/"
	@echo "make bench NAME=startup   a benchmark of benchmarks/, against its peers; run_all for all"

install: $(INSTALLED)

# uv does the locked install quickly; it comes from the package index into the environment itself.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Striate needs Python 3.11 or later; say which: make PYTHON=python3.12 " + "$(MAKECMDGOALS)") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(INSTALLED)

demo: $(INSTALLED)
	@$(BIN)/python -m striate.cli.demo

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not long"

check: lint types contract

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

contract: $(INSTALLED)
	$(BIN)/lint-imports

check-all: check docs $(INSTALLED)
	OMP_NUM_THREADS=1 STRIATE_FUZZ=10000 $(BIN)/python -m pytest -q -n 2 --dist worksteal

docs: $(INSTALLED)
	$(BIN)/mkdocs build --strict --quiet

bench: $(INSTALLED)
	@test -n "$(NAME)" || { echo "say which: make bench NAME=<a program of benchmarks/>"; exit 2; }
	@case "$(NAME)" in results|imports|precision|dreams|trust_maps) ;; *) test -n "$(STRIATE_PEERS)" || $(MAKE) --no-print-directory $(PEERS_INSTALLED) ;; esac
	$(BIN)/python benchmarks/$(NAME).py

# The libraries that Striate is measured against, in an environment of their own; STRIATE_PEERS names another python.
$(PEERS_INSTALLED): benchmarks/peers.txt $(INSTALLED)
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(PEERS)
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --compile-bytecode --requirement benchmarks/peers.txt
	@touch $@

# Everything that is installed, with hashes and without any index address.
lock: $(INSTALLED)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) $(PEERS) site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
