# `make demo` and `make test` set up everything they need in .venv on their first run.
PYTHON ?= python3
BIN := .venv/bin
STUDY := demo/phantom_1005

.PHONY: demo test lint bench
.DEFAULT_GOAL := demo

# The stamp makes set-up happen once; after it nothing here touches the network.
.venv/ready: pyproject.toml training/pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	    --constraint constraints.txt --editable '.[dev]' --editable training
	@touch $@

# A synthetic patient, not one of those trained on, of whom only T1c and FLAIR were acquired.
demo: .venv/ready
	$(BIN)/metakd phantom --output demo --seed 1005
	$(BIN)/metakd segment --t1c $(STUDY)/t1c.nii.gz --flair $(STUDY)/flair.nii.gz \
	    --output demo/segmentation.nii.gz --report demo/report.json --preview demo/preview.png
	@echo "Look at demo/preview.png; demo/segmentation.nii.gz and demo/report.json lie beside it."

test: .venv/ready
	$(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python Testing/bench.py
