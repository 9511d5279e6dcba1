# Everything here needs Python 3.11 or newer and nothing else: `make setup` fills .venv with the versions of constraints.txt.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
PLUGINS := $(patsubst %/,%,$(dir $(wildcard plugins/*/pyproject.toml)))
READY := $(VENV)/ready
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-plugin lint format docs bench clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(READY) ## Create .venv and install core, plugins and tools.

$(READY): pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
	@test -n "$(PYTHON)" || { echo "probgen needs Python 3.11 or newer; found none. Use make PYTHON=/path/to/python."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt hatchling editables torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation -e ".[dev]" $(addprefix -e ,$(PLUGINS))
	@touch $@

demo: setup ## Train a model of each family on real digits (under five minutes), put them all on one page.
	$(BIN)/probgen gallery examples/digits/*.toml

test: setup ## Run the default suite of core and plugins.
	$(BIN)/pytest -m "not slow" -n $(JOBS) --dist loadfile

test-all: setup ## Run the slow tests too.
	$(BIN)/pytest -n $(JOBS) --dist loadfile

test-plugin: setup ## Build the core, install it with the tutorial's plugin apart from the sources, and check it there.
	rm -rf build/plugin && mkdir -p build/plugin
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/plugin . docs/tutorial-plugin
	$(BIN)/pip install --quiet --no-deps --target build/plugin/site build/plugin/*.whl
	cp -r docs/tutorial-plugin/tests docs/tutorial-plugin/pyproject.toml build/plugin
	cd build/plugin && export PYTHONPATH="$$PWD/site" PROBGEN_PLUGINS=tutorial PROBGEN_STRICT_PLUGINS=1 PATH="$(abspath $(BIN)):$$PATH" && \
	python -c 'import probgen, sys; sys.exit("site" not in probgen.__path__[0])' && \
	python -m pytest -q -p no:cacheprovider && \
	python -m probgen check tutorial/skew-normal && python -m probgen check log-variance

lint: setup ## Check style, formatting and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: setup ## Rewrite files in the house format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## Build the site into site/; a broken link fails.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(BENCH)/ready: $(READY) benchmarks/requirements.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet -c constraints.txt --upgrade pip
	$(BENCH)/bin/pip install --quiet -c constraints.txt hatchling editables torch==2.13.0
	$(BENCH)/bin/pip install --quiet -c constraints.txt --no-build-isolation -e ".[dev]" $(addprefix -e ,$(PLUGINS))
	$(BENCH)/bin/pip install --quiet -r benchmarks/requirements.txt
	@touch $@

bench: $(BENCH)/ready ## Time probgen beside every peer, in an environment of its own; ARGS="--only vae" for some rows.
	$(BENCH)/bin/python -m benchmarks --out build/benchmarks $(ARGS)

clean: ## Remove .venv, the built site and caches; runs/ stays.
	rm -rf $(VENV) $(BENCH) site build dist .pytest_cache .ruff_cache .hypothesis
