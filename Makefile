# `make demo` and `make test` do all the set-up. Stamps in .venv keep a second run from installing.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin

# One process per core; models and graphs in tests are tiny, so each process uses one thread.
PYTEST := $(BIN)/python -m pytest -q -n auto --dist loadfile

.PHONY: help demo test test-full fuzz coverage docs lint types doctest clean

help:
	@echo "make demo       install, label tangled cables with and without a mask, draw what is attended"
	@echo "make test       install and run the quick tests"
	@echo "make test-full  the whole matrix of laws, masks and graphs"
	@echo "make fuzz       random campaigns of half an hour; see tests/fuzz/README.md"
	@echo "make coverage   the quick tests, with the lines of graphmask that they miss"
	@echo "make docs       install and build the documentation, docs/_build/html/index.html"
	@echo "make lint       ruff and codespell;  make types  mypy;  make doctest  docstring examples"
	@echo "make clean      remove the virtual environment and the output of runs"

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

test: $(VENV)/.test
	$(PYTEST) -m "not slow"

test-full: $(VENV)/.test
	$(PYTEST)

fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz all

coverage: $(VENV)/.test
	$(PYTEST) -m "not slow" --cov=graphmask --cov-report=term-missing:skip-covered

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(VENV)/.dev
	$(BIN)/mypy graphmask datasets

doctest: $(VENV)/.test
	$(PYTEST) --doctest-modules graphmask datasets

clean:
	rm -rf $(VENV) runs build dist *.egg-info docs/_build docs/api/generated .coverage

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: EXTRAS = fast,train,viz
$(VENV)/.test: EXTRAS = test
$(VENV)/.docs: EXTRAS = docs
$(VENV)/.dev: EXTRAS = dev
$(VENV)/.demo $(VENV)/.test $(VENV)/.docs $(VENV)/.dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) \
		--editable ".[$(EXTRAS)]"
	@touch $@
