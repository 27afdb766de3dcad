# `make demo` and `make test` set up everything they need in .venv on their first run.
PYTHON ?= python3
BIN := .venv/bin
STUDY := demo/phantom_1005

.PHONY: demo test lint bench bench-train results avmnist cohort scans screenshots
.DEFAULT_GOAL := demo

# The stamp makes set-up happen once; after it nothing here touches the network.
.venv/ready: pyproject.toml training/pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	    --constraint constraints.txt --editable '.[dev]' --editable 'training[classification]'
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
	$(BIN)/python Testing/bench_panel.py

# The README's pictures of the Slicer module; look at them before they are committed.
screenshots: .venv/ready
	$(BIN)/python Testing/screenshots.py

bench-train: .venv/ready
	$(BIN)/python Testing/bench_train.py

# The tables of training/RESULTS.md: fits what is not fitted yet, five to ten minutes a run on a CPU.
# The teacher comes first, another run needs it.
COMPARED := training/configs/compare
METHODS := dropout lckd metakd metakd_alpha_0.5
OPTIONS := metakd metakd_alpha_0.02 metakd_alpha_0.5 metakd_sigmoid metakd_per_region metakd_l2 \
    metakd_cosine metakd_all_teachers metakd_every_scale metakd_unrolled metakd_logit_teacher \
    metakd_no_full_pass
COMPARE := $(BIN)/metakd-train compare --output runs/compare
results: .venv/ready
	$(BIN)/metakd-train fit $(COMPARED)/full_teacher.yaml --resume \
	    --output runs/compare/full_teacher/seed1
	$(COMPARE) --seeds 1 2 3 --name methods $(METHODS:%=$(COMPARED)/%.yaml)
	$(COMPARE) --seeds 1 --list held_out --name options_held_out $(OPTIONS:%=$(COMPARED)/%.yaml)
	$(COMPARE) --seeds 1 --name options $(OPTIONS:%=$(COMPARED)/%.yaml)

# The classification tables of training/RESULTS.md, with five seeds each.
AVMNIST ?= ../shared/data/avmnist
avmnist: .venv/ready
	$(BIN)/python training/results/avmnist.py --data $(AVMNIST)

# The tables "Raw scans" of training/RESULTS.md, some ten minutes.
scans: .venv/ready
	$(BIN)/python training/results/scans.py

cohort: .venv/ready
	$(BIN)/python training/results/cohort.py
