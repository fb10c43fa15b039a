# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST_ARGS ?=
EVIDENCE_ARGS ?=

.PHONY: help demo assets test lint fix bench bench-evidence bench-causes clean constraints man

help:  ## show what can be made
	@grep -hE '^[a-z-]+:.*##' Makefile | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "monitord needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "python3 -m venv failed; on Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "setting up $(VENV)"
	@$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --group dev --editable .
	@touch $(READY)

demo: $(READY)  ## catch a spiking program red-handed, within a minute
	@$(BIN)/python examples/demo.py

assets:  ## bring the scripts and styles of the page that other makers wrote (needs npm)
	@$(PYTHON) assets/fetch.py

test: $(READY) assets  ## everything CI runs: lint, types, import rules, the whole test suite
	$(BIN)/python tests/run.py --lint $(PYTEST_ARGS)

lint: $(READY)  ## lint, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fix: $(READY)  ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## measure every budget beside its peer or limit; results in benchmarks/README.md
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --group bench
	$(BIN)/python benchmarks/run.py

bench-evidence: $(READY)  ## is the evidence true? programs of many sorts spike in known functions; exit 1 when it is not
	$(BIN)/python benchmarks/evidence.py --write $(EVIDENCE_ARGS)

bench-causes: $(READY)  ## is the class of a cause right? programs made for one class each; exit 1 when it is not
	$(BIN)/python benchmarks/causes.py --write $(CAUSES_ARGS)

man: $(READY)  ## write the manual page anew from the texts of --help; a test compares them
	$(BIN)/python -m monitord help --man > man/monitord.1

constraints:  ## write the newest versions that fit together to constraints.txt, from a clean environment
	@rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	@build/constraints/bin/python -m pip install -qq --upgrade 'pip>=25.1'
	@build/constraints/bin/python -m pip install -qq --group dev --group bench --editable .
	@build/constraints/bin/python -m pip freeze --exclude-editable > constraints.txt

clean:  ## remove what was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
