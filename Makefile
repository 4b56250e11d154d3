# Two commands do all the set-up: `make demo` and `make test`. Both need Python >= 3.10 and nothing
# else; they make an environment in .venv and install into it.

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What a missing torch or cluster means for the tests: CI says --require, so that it fails.
REQUIRE ?=

.PHONY: demo test slurm kubernetes old-swift lint unit coverage bench train-env dev-env clean

demo: train-env            ## train two real ranks on this machine and show where the results are
	$(BIN)/python jobs/make_tiny_model.py models/tiny-qwen2
	$(BIN)/prl-submit jobs/mr_cpu.yaml --follow --set environment.venv=$(VENV)
	$(BIN)/prl-submit status latest
	@echo; echo "The outputs are in output/$$(readlink output/latest):"; ls output/latest/

test: dev-env slurm kubernetes old-swift lint coverage  ## everything: style, types, unit, real processes, schedulers, training
	$(BIN)/python -m pytest -n 2 tests/local tests/cli tests/slurm tests/kubernetes tests/training $(REQUIRE)

slurm:                     ## install Slurm for the tests, where root or sudo may; else they are skipped
	@tools/install-slurm.sh || true

kubernetes:                ## build a Kubernetes API for the tests, likewise
	@tools/install-kubernetes.sh || true

old-swift: dev-env          ## make the environment with ms-swift 3.3 for the tests of real training, likewise
	@tools/make-old-swift-venv.sh $(BIN)/python >/dev/null || true

lint: dev-env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: dev-env
	$(BIN)/python -m pytest tests/unit tests/render tests/property

coverage: dev-env
	$(BIN)/python -m coverage run -m pytest tests/unit tests/render tests/property
	$(BIN)/python -m coverage report

bench: dev-env             ## speed, side by side with `python -c pass` and with the schedulers' own commands
	@failed=0; for part in run slurm kubernetes; do $(BIN)/python -m benchmarks.$$part || failed=1; done; exit $$failed

train-env: $(VENV)/.train
dev-env: $(VENV)/.dev

$(VENV)/bin/python:
	tools/make-venv.sh $(PYTHON) $(VENV)

$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV): about 2 GB, some minutes the first time"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV): about 2 GB, some minutes the first time"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	@touch $@ $(VENV)/.train

clean:
	rm -rf .venv models .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
