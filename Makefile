# The two commands to know: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2
DATA ?= ../shared/data

.PHONY: demo test test-all check bench clean

# Trains and compares five recipes on the embedded set; a second call continues or ends at once.
demo: $(READY)
	$(BIN)/longtail compare digits-lt --recipes ce,balanced_softmax,ldam_drw,crt,sade --seeds 3 \
		--epochs 20 --output runs/demo --resume

test: $(READY)
	$(PYTEST) -n $(WORKERS) -m "not full and not gpu"

test-all: $(READY)
	$(PYTEST) -n $(WORKERS) -m "not gpu"

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

# The tables of docs/results.md; a finished row is not trained again.
bench: $(READY)
	$(BIN)/python benchmarks/table.py train fashion --data-root $(DATA)
	$(BIN)/python benchmarks/table.py train cifar10 --data-root $(DATA)
	$(BIN)/python benchmarks/table.py write

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
