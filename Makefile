# Forecourt. `make run` is all that a fresh machine needs: Python >= 3.11, nothing else.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
MANAGE := $(PY) manage.py
PORT ?= 8000
export PORT
MARKS ?= not e2e and not nightly and not redis

.PHONY: run demo test nightly e2e lint format types imports bench bench-fleet lock docs evidence model-docs clean help

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed 's/:.*## /\t/' | sort

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Forecourt needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: $(VENV)/.installed ## Set up, load the demo, then serve web and worker on PORT
	@$(MANAGE) serve --check-port
	$(MANAGE) demo
	$(MANAGE) serve

demo: $(VENV)/.installed ## The same without serving; writes build/demo.json
	$(MANAGE) demo

test: $(VENV)/.installed-dev ## All tests but the browser's and those with a Redis (MARKS=redis: these; needs Debian's redis-server)
	$(PY) -m pytest -n 2 --dist loadfile -m "$(MARKS)"

nightly: $(VENV)/.installed-dev ## More than 2,000 generated batches, long histories of promotions, every look of every page (minutes)
	$(PY) -m pytest -m "nightly and not e2e" integrations forecasting
	$(PY) -m pytest -m "nightly and e2e" tests/e2e

e2e: $(VENV)/.installed-dev ## Browser tests (needs Debian's chromium)
	$(PY) -m pytest -m "e2e and not nightly" tests/e2e

lint: $(VENV)/.installed-dev ## Style, types, import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy .
	$(VENV)/bin/lint-imports

format: $(VENV)/.installed-dev
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

bench: $(VENV)/.installed-dev ## Speed and accuracy, measured (most of an hour; python -m benchmarks --quick: minutes)
	$(PY) -m benchmarks

bench-fleet: $(VENV)/.installed-dev ## A thousand real schemas: provision, migrate, dispatch, fleet page (up to half an hour)
	$(PY) -m benchmarks.fleet --anew

docs: $(VENV)/.installed ## Documents that are made from the code
	$(MANAGE) settings_table
	$(MANAGE) dry_runs

model-docs: demo ## Effectiveness report, strategy cycle with its decision, and decision log, from the demo's own runs
	$(MANAGE) effectiveness_report --evaluate
	$(MANAGE) strategy_documents
	$(MANAGE) export_decision_log

evidence: $(VENV)/.installed-dev ## Collect the evidence of the tracker and render its documents (most of a quarter of an hour)
	$(MANAGE) collect_evidence

lock: $(VENV)/.installed-dev ## Resolve requirements*.in again
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 requirements.in -o requirements.txt
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 requirements-dev.in -c requirements.txt -o requirements-dev.txt

clean: ## Forget caches and build output (data stays in .data)
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
