# Every command sets up what it needs: an environment in .venv, and into it
#   make unit, make lint    the tools of developers alone (dev-env)
#   make demo               torch and ms-swift (train-env)
#   make test, make bench   both (test-env)
# They need Python >= 3.10 and nothing else.

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What a missing torch or cluster means for the tests: CI says --require, so that it fails.
REQUIRE ?=

.PHONY: help demo test slurm kubernetes platform chromium old-swift lint unit coverage bench train-env dev-env test-env clean
# Two installations at once would break the environment, and `make test` orders its steps: `make -j` may not.
.NOTPARALLEL:

help:                      ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: train-env            ## train two real ranks on this machine and show where the results are
	$(BIN)/python jobs/make_tiny_model.py models/tiny-qwen2
	$(BIN)/prl-submit jobs/mr_cpu.yaml --follow --set environment.venv=$(VENV)
	$(BIN)/prl-submit status latest
	@echo; echo "The outputs are in output/$$(readlink output/latest):"; ls output/latest/

# What needs no torch comes before the installation of torch: then `make test` tells of a wrong name in its
# first minutes, and CI, whose environment is new, shows that lint and unit tests need no torch.
# What needs no Python is installed while lint and the unit tests run, and ms-swift 3.3 while mypy runs.
test: install-in-background lint coverage wait-for-installs test-env  ## everything: style, types, unit, real processes, schedulers, training
	@tools/make-old-swift-venv.sh $(BIN)/python >/dev/null & old=$$!; $(BIN)/mypy; code=$$?; wait $$old; exit $$code
	$(BIN)/python -m pytest -n 4 tests/local tests/cli tests/slurm tests/kubernetes tests/platform tests/browser tests/training $(REQUIRE)

.PHONY: install-in-background wait-for-installs
install-in-background:
	@tools/install-in-background.sh start

wait-for-installs:
	@tools/install-in-background.sh wait

slurm:                     ## install Slurm for the tests, where root or sudo may; else they are skipped
	@tools/install-slurm.sh || true

kubernetes:                ## build a Kubernetes API for the tests, likewise
	@tools/install-kubernetes.sh || true

platform:                  ## install what nodes with networks of their own need, likewise
	@tools/install-platform.sh || true

chromium:                  ## install the browser for the tests of reports, likewise
	@tools/install-chromium.sh || true

old-swift: test-env         ## make the environment with ms-swift 3.3 for the tests of real training, likewise
	@tools/make-old-swift-venv.sh $(BIN)/python >/dev/null || true

lint: dev-env              ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck .ci/run tools/*.sh tools/clusters/*.sh templates/launch.lib.sh templates/platform_variables.lib.sh templates/platform_nodes.lib.sh tests/render/golden/*.launch.sh tests/render/golden/*.sbatch
	$(BIN)/mypy

unit: dev-env              ## the fast tests: pure functions, rendered files, random input
	$(BIN)/python -m pytest tests/unit tests/render tests/property

coverage: dev-env          ## the same, with branch coverage of the pure modules
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report= --cov-fail-under=0 tests/unit tests/render tests/property
	$(BIN)/python -m coverage report

bench: test-env            ## speed, side by side with `python -c pass` and with the schedulers' own commands
	@failed=0; for part in run metrics status report slurm kubernetes; do $(BIN)/python -m benchmarks.$$part || failed=1; done; exit $$failed

train-env: $(VENV)/.train
dev-env: $(VENV)/.dev
test-env: $(VENV)/.test

PIP = $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
LARGE = echo "installing torch and ms-swift into $(VENV): about 2 GB, some minutes the first time"

$(VENV)/bin/python:
	tools/make-venv.sh $(PYTHON) $(VENV)

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the developers' tools into $(VENV): about 280 MB"
	$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(LARGE)
	$(PIP) -e '.[train]'
	@touch $@

# In one step, so that pip finds versions that suit both.
$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(LARGE)
	$(PIP) -e '.[train,dev,browser]'
	@touch $@ $(VENV)/.train $(VENV)/.dev

clean:                     ## remove the environment, the caches and the demo's model
	rm -rf .venv models .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
