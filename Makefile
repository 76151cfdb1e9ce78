# Two commands do all the set-up: `make demo` and `make test`. Stamps in .venv keep a second run from installing again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test docs lint types doctest clean

help:
	@echo "make demo     install, train four small models on point clouds, draw a mask"
	@echo "make test     install and run the tests"
	@echo "make docs     install and build the documentation, docs/_build/html/index.html"
	@echo "make lint     ruff;  make types  mypy;  make doctest  the examples in docstrings"
	@echo "make clean    remove the virtual environment and what runs have written"

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -q

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy graphmask datasets

doctest: $(VENV)/.test
	$(BIN)/python -m pytest -q --doctest-modules graphmask datasets

clean:
	rm -rf $(VENV) runs build dist *.egg-info docs/_build docs/api/generated

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: EXTRAS = train,viz
$(VENV)/.test: EXTRAS = test
$(VENV)/.docs: EXTRAS = docs
$(VENV)/.dev: EXTRAS = dev
$(VENV)/.demo $(VENV)/.test $(VENV)/.docs $(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@
