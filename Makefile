# Two commands: `make repro` runs the pipeline, `make test` passes the tests; each sets everything up first.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := $(CURDIR)/.venv
READY := $(VENV)/.ready
JOBS ?= 2
NAME ?= digits
export PATH := $(VENV)/bin:$(PATH)
export OMP_WAIT_POLICY := PASSIVE
export DVC_NO_ANALYTICS := 1

.PHONY: help setup locked repro test test-slow lint format lock train study clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(READY)  ## make .venv from requirements.lock (again: no work)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet "$$(grep -oE '^uv==[^ ]+' requirements.lock)"
	$(VENV)/bin/uv pip sync --quiet --python $(VENV)/bin/python --require-hashes --compile-bytecode requirements.lock
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

repro: setup  ## run the whole pipeline: what changed, and what depends on it
	dvc repro

locked: setup  ## fail unless dvc.lock is of this code and these parameters (runs nothing, needs no data)
	@if dvc repro --dry --allow-missing | grep "Running stage"; then \
	  echo "error: dvc.lock is of older code or parameters; run make repro and commit it" >&2; exit 1; fi

train: setup  ## the train stages side by side: make train JOBS=4
	touchstone train --jobs $(JOBS)

study: setup  ## run recipes/NAME and keep its metrics and report there: make study NAME=scenes8
	touchstone study $(NAME)

test: setup  ## the tests, without the slow ones, two files at a time
	pytest -n $(JOBS) --dist loadfile

test-slow: setup  ## the slow tests too
	pytest -m '' -n $(JOBS) --dist loadfile

lint: setup  ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

format: setup  ## let ruff mend what it can
	ruff check --fix .
	ruff format .

lock: setup  ## resolve pyproject.toml anew into requirements.lock, for Linux and macOS, with hashes
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra dev --extra tensorboard --extra wandb --constraints constraints.txt --output-file requirements.lock pyproject.toml

clean:  ## remove .venv, resume states and cached features (no output, no study, not DVC's cache)
	rm -rf $(VENV) .touchstone/train .touchstone/features
