# The two commands of a newcomer are `make demo` and `make test`; both set everything up first.
#
#   make demo                                  runs the main job until Ctrl-C
#   make demo ARGS="--count 40 --exit"         ... to the end; ARGS go to `hemowire demo`
#   make test                                  linters, types, import rules and the test suite
#   make test-all                              the same with the thorough, slow tests
#   make test-compose                          compose.yaml on a container engine, then all removed
#   make chaos                                 1,000 images through 200 faults, in under 20 minutes
#   make tables                                every model of the papers trained and judged: docs/models
#   make tables ARGS="--reduced"               ... small enough for two cores, and said so
#   make lint                                  linters, types and import rules only

ARGS ?=
CHAOS_ARGS ?= --images 1000 --faults 200 --every 3.6 --longest 12 --devices 4 --workers 3
# Two workers: the machines that this is made for have two cores. A file's tests stay together.
PYTEST_ARGS ?= -n 2 --dist loadfile
BIN := .venv/bin

.PHONY: demo chaos tables test test-all test-compose lint setup-demo setup-test

demo: setup-demo
	@$(BIN)/hemowire demo $(ARGS)

chaos: setup-demo
	@$(BIN)/hemowire chaos $(CHAOS_ARGS)

tables: setup-test
	$(BIN)/python -m training.tables $(ARGS)

test: setup-test lint
	$(BIN)/pytest -m "not slow" $(PYTEST_ARGS)

test-all: setup-test lint
	$(BIN)/pytest $(PYTEST_ARGS)

test-compose:
	@deploy/test-compose

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup-demo:
	@scripts/setup demo

setup-test:
	@scripts/setup test
