# `make demo` and `make test` need Python 3.11 to 3.13, make and a C library; all else goes to .venv.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
  && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?=
ARGS ?=
TESTS ?= tests
# open_clip and timm, beside the environment and not in it: their torchvision may be of another
# build than torch, and then breaks the vision imports of transformers.
EXTRAS := $(CURDIR)/.extras

.PHONY: demo test test-extras lint types imports check fix benchmark clean

demo: $(VENV)/.installed  ## index sample studies, search, write neighbours.png
	$(BIN)/syntopy demo $(if $(DATA),--data '$(DATA)') $(ARGS)

test: $(VENV)/.installed-dev $(if $(filter tests,$(TESTS)),$(EXTRAS)/.installed)  ## all tests
	$(BIN)/python -m pytest $(TESTS) -n auto $(ARGS)
ifeq ($(TESTS),tests)
	@# 5: ARGS chose none of these
	PYTHONPATH=$(EXTRAS) $(BIN)/python -m pytest tests/extras -n auto $(ARGS) || test $$? -eq 5
endif

test-extras: $(VENV)/.installed-dev $(EXTRAS)/.installed  ## those that need packages beside the environment
	PYTHONPATH=$(EXTRAS) $(BIN)/python -m pytest tests/extras $(ARGS)

check: lint types imports  ## all that is not a test

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

fix: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .extras demo neighbours.png build *.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Syntopy needs Python 3.11, 3.12 or 3.13; none was found. \
	Name one with: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,clusters]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[cpu,clusters,dimse,encoders,qdrant,serve,tracing,words]' -r requirements-dev.txt
	@touch $@

$(EXTRAS)/.installed: tests/extras/requirements.txt | $(VENV)/.installed-dev
	rm -rf $(EXTRAS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --target $(EXTRAS) -r tests/extras/requirements.txt
	@touch $@
