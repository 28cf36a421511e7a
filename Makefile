# `make run` and `make test` are all that a newcomer needs. Each makes the environment first, if it is not there yet.
# `make use PRESET=own` (dogs, urbansound8k, esc50) sets params.yaml to another collection; DATA=/folder says where it is.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONWARNINGS ?= ignore

.PHONY: run use compare test test-fast lint clean-environment

# ARGS="--jobs 1": see `counterpoise run --help`
run: .venv/complete
	@counterpoise check
	@counterpoise run $(ARGS)
	@counterpoise report

use: .venv/complete
	@counterpoise use "$$PRESET" --path="$$DATA"

# ARGS="--x aug.factor --metric macro_f1": see `counterpoise compare --help`
compare: .venv/complete
	@counterpoise compare $(ARGS)

test: .venv/complete
	python -m pytest

# Without the tests that run the whole pipeline: under 90 seconds
test-fast: .venv/complete
	python -m pytest -m "not slow"

lint: .venv/complete
	ruff format --check .
	ruff check .
	mypy
	python -m pytest -q -n 0 tests/test_secrets.py

.venv/complete: requirements.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --disable-pip-version-check -r requirements.txt
	.venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean-environment:
	rm -rf .venv
