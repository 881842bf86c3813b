# `make demo` and `make test` do everything on a bare machine with Python 3.11, pip, venv and make.
PYTHON ?= python3
BIN := .venv/bin
DEMO_OUT ?= runs/demo
DEMO_SET ?=
FAIL_ABOVE ?= inf
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile  # a process for each core, and the tests of a file in one of them
TIMED := tests/serving/server  # its clients wait for seconds, not for another test
unexport PYTHONDONTWRITEBYTECODE  # with it every process of the tests compiles torch anew, for seven seconds

.PHONY: help setup demo test lint types layers tests test-slow slow timed docs bench bench-quick bench-ratio bench-growth clean

help: ## show these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/ready ## make .venv with everything pinned in constraints.txt

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable . --group dev
	touch $@

demo: setup ## learn the drawn scenes from tags to a segmentation network; prints where the report is
	$(BIN)/tagmask demo --out $(DEMO_OUT) $(DEMO_SET)

test: lint types layers tests ## lint, types, layers, tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/basedpyright

layers: setup
	$(BIN)/lint-imports

tests: setup
	$(BIN)/pytest -q -m "not slow" $(SIDE_BY_SIDE)

test-slow: slow timed ## the tests over ten seconds: whole runs, every family of backbones

slow: setup
	$(BIN)/pytest -q -m slow $(SIDE_BY_SIDE) --ignore $(TIMED)

timed: setup
	$(BIN)/pytest -q -m slow $(TIMED) -o addopts=--import-mode=importlib  # no types are looked at in what is timed

docs: .venv/docs ## build these pages as a site; prints where it is
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --nitpicky docs docs/_build/html
	@echo docs/_build/html/index.html

.venv/docs: .venv/ready pyproject.toml constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group docs
	touch $@

bench: setup ## measure all speed figures, half an hour; writes benchmarks/results.json
	$(BIN)/python benchmarks/run.py --json benchmarks/results.json

bench-quick: setup ## the main ratios of a run to its bare passes, under three minutes; writes benchmarks/quick.json
	$(BIN)/python benchmarks/whole_run.py --quick --json benchmarks/quick.json

bench-ratio: setup ## two files of figures side by side: BEFORE=a.json AFTER=b.json [FAIL_ABOVE=1.1]
	$(BIN)/python benchmarks/ratio.py $(BEFORE) $(AFTER) --fail-above $(FAIL_ABOVE)

bench-growth: setup ## how time and memory grow with images, side and classes; draws docs/growth
	$(BIN)/python benchmarks/growth.py --json benchmarks/growth.json --docs docs

clean: ## remove the environment
	rm -rf .venv
