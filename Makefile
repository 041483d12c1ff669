# make install | demo | test | lint | docs | clean. Everything is installed into .venv in this folder, from the lock.

PYTHON ?= python3
CORES ?= all

# Relative, so that the folder's own path may hold spaces.
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install demo test lint docs clean
.DEFAULT_GOAL := help

help:
	@echo "make install  only set up .venv, as demo and test do first"
	@echo "make demo     simulate a study and run it from raw scans to tables and figures"
	@echo "make test     run the tests, a small study included"
	@echo "make lint     check style of code and workflow, and which room knows which"
	@echo "make docs     write docs/configuration.md anew, from the schemas"
	@echo "make clean    remove results and caches"
	@echo "PYTHON=python3.12 chooses the interpreter (3.11 to 3.13), CORES=4 limits the demo's cores"

# A stamp, not the folder: an installation that was broken off is taken up again.
$(STAMP): requirements.lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "relad needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/snakemake --cores $(CORES) all
	@echo
	@echo "Simulated data (digital phantoms, no patients). Made just now, or found up to date:"
	@ls results/tables/*.csv results/figures/*.png results/report.html

# One more process than there are cores: some tests wait for Snakemake, or for a cluster of their own,
# and these come first (tests/conftest.py).
test: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses $$(($$(nproc) + 1)) --dist loadfile \
	  --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check --compact-diff workflow
	$(BIN)/snakemake --lint
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python -m relad.study.reference docs/configuration.md

clean:
	rm -rf .snakemake .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find results -mindepth 1 ! -path results/README.md -delete
