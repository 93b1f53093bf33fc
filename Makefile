# Every target makes what it needs in .venv: a fresh machine needs Python 3.11 or later and make.

.DEFAULT_GOAL := help
.PHONY: help demo test test-lowest lint style types imports notebooks docs clean

# The first of these that is new enough; or say which: make test PYTHON=/path/to/python
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)
NO_PYTHON := aqreanalysis needs Python 3.11 or later, and none of python3, python3.11, \
	python3.12, python3.13 is. Name one: make PYTHON=/path/to/python
VENV := .venv
LOWEST := .venv-lowest
IN := $(VENV)/bin/
OUTPUT ?= demo

# Only errors are shown; `make test PIP_OPTIONS=` shows what pip does.
PIP_OPTIONS ?= -qq
PIP_INSTALL = -m pip install $(PIP_OPTIONS) --progress-bar off --disable-pip-version-check --no-input
# Packages are compiled after all are there, on all processors and without their tests: one by one it
# is half of the time.
PIP = $(IN)python $(PIP_INSTALL) --no-compile -c constraints.txt
COMPILE = $(IN)python -m compileall -qq --workers 0 -x '/tests/' $(VENV)/lib || true

# The tensors are small: sharing one among threads costs more than it gains. Where there are
# many cores, blocks of a product run beside each other instead.
export OMP_NUM_THREADS ?= 1

# Where bytecode is not to be written, each process that a test starts compiles the package anew.
export PYTHONDONTWRITEBYTECODE =

# Test files run beside each other: one more than there are processors, since some wait for other
# processes, and four at most.
BESIDE = --numprocesses=$(shell $(PYTHON) -c 'import os; print(min(1 + os.cpu_count(), 4))') \
	--dist=loadfile

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## Synthetic network with known truth: product, maps and scores in ./demo
	$(IN)aqreanalysis demo --output $(OUTPUT)

test: $(VENV)/.installed-test  ## All tests but long benchmarks; PYTEST_OPTIONS="-m 'not slow'" leaves out the longest
	$(IN)python -m pytest $(BESIDE) $(PYTEST_OPTIONS)

test-benchmarks: $(VENV)/.installed-test  ## What benchmarks record and survive, in minutes
	$(IN)python -m pytest $(BESIDE) -m benchmark $(PYTEST_OPTIONS)

test-lowest: $(LOWEST)/.installed  ## The quick tests with the lowest versions of all dependencies
	$(LOWEST)/bin/python -m pytest $(BESIDE) -m 'not slow' $(PYTEST_OPTIONS)

lint: style types imports  ## Style and format, types, and who may import whom

style: $(VENV)/.installed-dev
	$(IN)ruff check
	$(IN)ruff format --check

types: $(VENV)/.installed-dev
	$(IN)mypy

imports: $(VENV)/.installed-dev
	$(IN)lint-imports

notebooks: $(VENV)/.installed-test  ## Run the notebooks from top to bottom
	$(IN)python -m pytest $(BESIDE) --nbmake --nbmake-timeout=300 notebooks

docs: $(VENV)/.installed-dev  ## All pages as HTML in build/docs, in a minute; a warning is an error
	$(IN)python -m sphinx -E -q -W --keep-going -b html docs build/docs

clean:  ## Remove the environment, the caches and the demo's files
	rm -rf $(VENV) $(LOWEST) demo build dist docs/generated *.egg-info .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each set of packages, so that a second run starts at once. The tools come with what
# the tests need, and that with the package's own dependencies.
STAMP := $(VENV)/.installed
$(STAMP): EXTRA =
$(STAMP)-test: EXTRA = [test]
$(STAMP)-dev: EXTRA = [dev]
$(STAMP)-test: STAMPS = $(STAMP)
$(STAMP)-dev: STAMPS = $(STAMP) $(STAMP)-test
$(STAMP) $(STAMP)-test $(STAMP)-dev: pyproject.toml constraints.txt | $(IN)pip
	@echo "Installing aqreanalysis$(EXTRA) into $(VENV); the first time takes some minutes"
	$(PIP) -e '.$(EXTRA)'
	@$(COMPILE)
	@touch $@ $(STAMPS)

# Wheels of these versions exist for Python 3.11 on most systems, for later ones on few.
$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	@test -n "$(PYTHON)" || { echo "$(NO_PYTHON)" >&2; exit 1; }
	@echo "Installing aqreanalysis[test] into $(LOWEST); this takes some minutes"
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python $(PIP_INSTALL) -c constraints-lowest.txt -e '.[test]'
	@touch $@

# pip is the last thing that venv puts there, so an interrupted run begins again. That of the tested
# version, where it is to be had, resolves in half of the time of the one that comes with Python.
$(IN)pip:
	@test -n "$(PYTHON)" || { echo "$(NO_PYTHON)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	-@$(IN)python $(PIP_INSTALL) -c constraints.txt --upgrade pip
