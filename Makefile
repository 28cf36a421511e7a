# Two commands: `make run` and `make test`. Each makes the environment first, if it is not there yet.
# `make use PRESET=own` (dogs, urbansound8k, esc50) sets params.yaml to another collection; DATA=/folder says where it is.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONWARNINGS ?= ignore

.PHONY: run test use compare clean-environment

run: .venv/complete
	@python -m counterpoise.preflight
	dvc repro
	@python -m counterpoise.report

use: .venv/complete
	@python -m counterpoise.presets "$$PRESET" --path="$$DATA"

# ARGS="--x aug.factor --metric macro_f1": see `python -m counterpoise.compare --help`
compare: .venv/complete
	@python -m counterpoise.compare $(ARGS)

test: .venv/complete
	python -m pytest

.venv/complete: requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@

clean-environment:
	rm -rf .venv
