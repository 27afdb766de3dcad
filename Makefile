# `make demo` and `make test` set up everything they need in .venv on their first run.
PYTHON ?= python3
BIN := .venv/bin
STUDY := demo/phantom_1005

.PHONY: demo test lint bench bench-train results
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

bench-train: .venv/ready
	$(BIN)/python Testing/bench_train.py

# The tables of training/RESULTS.md: fits what is not fitted yet, five to ten minutes a run on a CPU.
# The teacher comes first, another run needs it.
COMPARED := training/configs/compare
OPTIONS := sigmoid per_region l2 cosine all_teachers every_scale unrolled logit_teacher no_full_pass
results: .venv/ready
	$(BIN)/metakd-train fit $(COMPARED)/full_teacher.yaml --output runs/compare/full_teacher/seed1 --resume
	$(BIN)/metakd-train compare $(foreach m,dropout lckd metakd metakd_best,$(COMPARED)/$(m).yaml) \
	    --seeds 1 2 3 --output runs/compare
	$(BIN)/metakd-train compare $(COMPARED)/metakd.yaml \
	    $(foreach o,$(OPTIONS),$(COMPARED)/metakd_$(o).yaml) \
	    --seeds 1 --list held_out --name options --output runs/compare
