# Each target does its own set-up. Needs Python 3.11 to 3.13; the environment lives in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WEB_PORT ?= 8080
MQTT_PORT ?= 1883
SPEED ?= 1
DATA ?= ../shared/data
# Journeys wait for processes most of their time: twice as many workers as cores keep two cores busy.
WORKERS ?= $(shell expr 2 \* $$(nproc))

.PHONY: help demo smoke test check format docs bench chaos train eval system clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: $(VENV)/.demo  ## watch a device warn before it fails (Ctrl-C ends it)
	@exec $(BIN)/virtual-devices demo --web-port $(WEB_PORT) --mqtt-port $(MQTT_PORT) --speed $(SPEED)

smoke: $(VENV)/.demo  ## the demo unattended; the last line is JSON
	@exec $(BIN)/virtual-devices smoke

test: check system  ## checks and all tests
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

check: $(VENV)/.dev  ## format, lint, types, architecture
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.documents --check

format: $(VENV)/.dev  ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(VENV)/.dev  ## rewrite docs/reference from the code
	$(BIN)/python -m tests.documents

bench: $(VENV)/.dev system  ## cost of the parts, as ratios to a peer in the same run
	$(BIN)/python -m tests.bench --write docs/performance.md

chaos: $(VENV)/.dev system  ## inject faults for CHAOS_SECONDS, then account for every record
	@$(BIN)/python -m tests.chaos

train: $(VENV)/.train  ## retrain what is shipped: the fleet prior of relations, and the networks (Python 3.11)
	$(BIN)/python -m models train --out models/artifacts
	$(BIN)/python -m models train persistence --data $(DATA) --out models/artifacts

eval: $(VENV)/.eval  ## evaluate the detection on the labelled telemetry in DATA
	$(BIN)/python -m models evaluate --data $(DATA)
	$(BIN)/python -m models relations
	$(BIN)/python -m models scenarios
	$(BIN)/python -m models families --data $(DATA)
	$(BIN)/python -m models reliability --data $(DATA) --write docs/detection.md
	$(BIN)/python -m models machine --train $(DATA)/skab --data $(DATA)/skab --out build/machine-alarms

system: $(VENV)/.dev  ## install the Debian packages that the tests use, where allowed
	@deploy/install-test-packages $(VENV)

$(VENV)/.demo: pyproject.toml
	@deploy/make-venv "$(PYTHON)" $(VENV) cloud,sim
	@touch $@

$(VENV)/.dev: pyproject.toml
	@deploy/make-venv "$(PYTHON)" $(VENV) dev
	@touch $@ $(VENV)/.demo $(VENV)/.eval

$(VENV)/.train: pyproject.toml
	@deploy/make-venv "$(PYTHON)" $(VENV) eval,train
	@touch $@

$(VENV)/.eval: pyproject.toml
	@deploy/make-venv "$(PYTHON)" $(VENV) eval
	@touch $@

clean:  ## remove build results and the environment
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
