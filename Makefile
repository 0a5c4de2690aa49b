# The two main commands: `make repro` runs the pipeline, `make test` runs the tests. Each sets everything up first.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
# Relative, as make takes a blank in a path for the end of a name; only PATH below needs the whole path.
VENV := .venv
READY := $(VENV)/.ready
JOBS ?= 2
NAME ?= digits
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export OMP_WAIT_POLICY := PASSIVE
export DVC_NO_ANALYTICS := 1

.PHONY: help setup locked repro site test test-slow test-gpu lint format lock study clean

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(READY)  ## create .venv from requirements.lock, unless it is up to date

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1), expected 3.11 or newer; run make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet "$$(grep -oE '^uv==[^ ]+' requirements.lock)"
	$(VENV)/bin/uv pip sync --quiet --python $(VENV)/bin/python --require-hashes --compile-bytecode requirements.lock
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

repro: setup  ## run the stages that changed, as many at a time as there are cores
	touchstone repro

locked: setup  ## fail unless dvc.lock matches the code and the parameters (runs nothing, needs no data)
	@if dvc repro --dry --allow-missing | grep "Running stage"; then \
	  echo "error: dvc.lock does not match the code and the parameters; run make repro and commit it" >&2; exit 1; fi

study: setup  ## run recipes/NAME and keep its metrics and report there: make study NAME=scenes8
	touchstone study $(NAME)

site: setup  ## build the site of the documentation into site/, and fail where a link leads nowhere
	rm -rf .touchstone/site && mkdir -p .touchstone/site
	cp -r CONTRIBUTING.md CHANGELOG.md LICENSE docs .touchstone/site
	cp README.md .touchstone/site/index.md
	for file in recipes/*/report.md recipes/*/*.png recipes/*/figures/*; do \
	  mkdir -p ".touchstone/site/$$(dirname "$$file")" && cp "$$file" ".touchstone/site/$$file"; done
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# Tests of exported files and of pretrained pipelines load several native runtimes, each with threads of its own, into
# their processes; other tests start processes from theirs. So they run apart.
RUNTIMES = tests/export tests/generators
PYTEST = pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: setup  ## run the tests except the slow ones, two files at a time
	$(PYTEST) $(RUNTIMES)
	$(PYTEST) $(RUNTIMES:%=--ignore=%)

test-slow: setup  ## run all tests, the slow ones included
	$(PYTEST) -m '' $(RUNTIMES)
	$(PYTEST) -m '' $(RUNTIMES:%=--ignore=%)

test-gpu: setup  ## run the tests that need a GPU
	pytest -m gpu tests/pipeline/test_gpu.py || test $$? = 5  # pytest's status where all are skipped

lint: setup  ## check the code with ruff and mypy
	ruff check .
	ruff format --check .
	mypy

format: setup  ## let ruff fix and format the code
	ruff check --fix .
	ruff format .

lock: setup  ## resolve pyproject.toml into requirements.lock, with hashes, for Linux and macOS
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra dev --extra dicom --extra diffusers --extra heic --extra onnx --extra openvino --extra parquet \
	  --extra plots --extra site --extra tensorboard --extra tiff --extra timm --extra wandb \
	  --constraints constraints.txt --output-file requirements.lock pyproject.toml

clean:  ## remove .venv, resume states and cached features; keep outputs, studies and DVC's cache
	rm -rf $(VENV) .touchstone/train .touchstone/features
