# Two commands: `make run` starts the app on http://127.0.0.1:7860, `make test` runs the whole suite.
# Both set up on first use; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEV_STAMP := $(VENV)/.ready-dev
# More words for pip, for example PIP_ARGS="--index-url URL" to take torch from an index of CPU builds.
PIP_ARGS ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)
TYPED := rag_core sample_files $(wildcard train/*.py) $(wildcard ui) app.py

.DEFAULT_GOAL := help
.PHONY: help setup run test check format bench lock clean

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1|\2/p' Makefile | while IFS='|' read -r name what; do printf '%-12s %s\n' "$$name" "$$what"; done

# The environment is rebuilt only where a file that describes it changed.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "The venv module is missing; on Debian or Ubuntu: apt install python3-venv"; exit 1; }

$(STAMP): requirements.txt requirements-embedded.txt constraints.txt | $(BIN)/python
	@echo "Installing packages into $(VENV) (once; a few minutes)..."
	@$(PIP) --constraint constraints.txt torch -r requirements.txt
	@$(PIP) --no-deps -r requirements-embedded.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt $(STAMP)
	@$(PIP) --constraint constraints.txt -r requirements-dev.txt
	@touch $@

setup: $(STAMP) ## build the environment alone

run: $(STAMP) ## set up on first use, then start the app on http://127.0.0.1:7860
	@$(BIN)/python app.py

test: $(DEV_STAMP) ## set up on first use, then run the whole test suite
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: $(DEV_STAMP) ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)

format: $(DEV_STAMP) ## put the code into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# bench.quality takes hours, since the plain recipe is slow to answer; the others take minutes each.
bench: $(DEV_STAMP) ## measure against the plain recipe (hours; DATA=DIR for more questions); writes bench/results
	$(BIN)/python -m bench.latency
	$(BIN)/python -m bench.index
	$(BIN)/python -m bench.capacity
	$(BIN)/python -m bench.dialogue
	$(BIN)/python -m bench.formulas
ifneq ($(DATA),)
	$(BIN)/python -m bench.retrieval --data "$(DATA)"
	$(BIN)/python -m bench.arithmetic --data "$(DATA)"
else
	@echo "make bench DATA=DIR also measures retrieval and arithmetic on DIR/corpus.jsonl and DIR/queries.jsonl"
endif
	$(BIN)/python -m bench.injection
	$(BIN)/python -m bench.quality $(if $(DATA),--data "$(DATA)")

# Torch is written without its local build label, so that any build of that version fits.
lock: ## resolve the ranges afresh in a clean environment and pin what came out
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip
	.venv-lock/bin/python -m pip install --quiet $(PIP_ARGS) torch==2.13.0 -r requirements-dev.txt
	.venv-lock/bin/python -m pip freeze --exclude pip --exclude setuptools > .venv-lock/frozen.txt
	{ echo "# Exact versions for local use and continuous integration; written by make lock."; \
	  sed -E 's/\+cpu$$//' .venv-lock/frozen.txt | grep -viE '^(nvidia|triton|cuda)'; } > constraints.txt
	rm -rf .venv-lock

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
