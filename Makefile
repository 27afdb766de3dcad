# `make demo` and `make test` set up everything they need in .venv on their first run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench
.DEFAULT_GOAL := demo

# The stamp makes set-up happen once; after it nothing here touches the network.
$(VENV)/ready: pyproject.toml training/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	    --constraint constraints.txt --editable '.[dev]' --editable training
	@touch $@

demo: $(VENV)/ready
	$(BIN)/metakd phantom --output demo/study --seed 7
	$(BIN)/metakd segment --t1c demo/study/case_7/t1c.nii.gz --flair demo/study/case_7/flair.nii.gz \
	    --output demo/segmentation.nii.gz --report demo/report.json --preview demo/preview.png

test: $(VENV)/ready
	$(BIN)/python -m pytest

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready
	$(BIN)/python Testing/bench.py
