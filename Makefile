# Every target but lock and clean works on a machine with nothing but Python >= 3.11 and make: it creates .venv and
# installs the locked packages first when they are missing or the lock has changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_VENV := .venv-bench
DOCS_VENV := .venv-docs
# benchmarks/loader.py runs the others of its kind, and needs the peers.
LOADER_BENCHES := benchmarks/loader.py $(foreach claim,\
	raw decode vectors subset windows tables start ranks memory mixing,benchmarks/loader_$(claim).py)
# So does this one.
PEER_BENCHES := benchmarks/search_engines.py
BENCH_STAMP := $(BENCH_VENV)/.installed
UV := $(BIN)/uv
UV_VERSION := 0.13.9
export DAGSTER_HOME ?= $(CURDIR)/dagster_home

.PHONY: install demo test cluster soak check ui bench demo-models screenshots lock clean
install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "mmfs needs Python >= 3.11, this is " + sys.version.split()[0] + "; run make PYTHON=/path/to/python3.11")'
	@echo "Installing the locked packages into $(VENV) (a minute or two the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@# Where Python is told to write no bytecode, each of the many processes of tests and demo would compile it anew.
	@$(BIN)/python -m compileall -q mmfs mmfs_assets mmfs_resources
	@touch $@

demo: $(STAMP) ## The main job, end to end, on rendered media
	@$(BIN)/mmfs demo

test: $(STAMP) ## The fast tests
	$(BIN)/python -m pytest -m "not soak and not cluster" -n 2 --dist loadfile

cluster: $(STAMP) ## Tests with Ray, PostgreSQL, ranks and Dagster's own processes; benchmarks on small samples
	@# Three at once, since most of the time they wait for a daemon.
	$(BIN)/python -m pytest -m "cluster and not soak" -n 3 --dist loadfile $(ONLY)

soak: $(STAMP) ## The long seeded suites
	$(BIN)/python -m pytest -m soak -n 2 --dist loadfile

check: $(STAMP) ## Lint, formatting, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: $(STAMP) ## Dagster webserver, daemon and code location on http://127.0.0.1:3000
	@$(BIN)/mmfs ui

bench: $(BENCH_STAMP) ## All benchmarks, also after one failed; results as JSON in benchmarks/results
	@mkdir -p benchmarks/results
	@failed=; run() { $$1/bin/python $$2 --json benchmarks/results/$$(basename $$2 .py).json || failed="$$failed $$2"; }; \
	for script in $(filter-out $(LOADER_BENCHES) $(PEER_BENCHES),$(wildcard benchmarks/*.py)); do \
		run $(VENV) $$script; done; \
	for script in benchmarks/loader.py $(PEER_BENCHES); do run $(BENCH_VENV) $$script; done; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# The locked packages and the loader's peers; a peer may ask for older versions of some.
$(BENCH_STAMP): $(STAMP)
	@echo "Installing the locked packages and the loader's peers into $(BENCH_VENV) ..."
	@test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv --without-pip $(BENCH_VENV)
	@VIRTUAL_ENV=$(CURDIR)/$(BENCH_VENV) $(UV) pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(BENCH_VENV) $(UV) pip install --quiet --compile-bytecode --no-build-isolation --editable '.[bench]'
	@touch $@

demo-models: $(STAMP) ## Train the small demo models that ship in mmfs/models
	@$(BIN)/python -m mmfs.models

screenshots: $(STAMP) ## Take the pictures of the Dagster UI in docs/images again; needs a Chromium
	@test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv --without-pip $(DOCS_VENV)
	@VIRTUAL_ENV=$(CURDIR)/$(DOCS_VENV) $(UV) pip install --quiet playwright==1.65.2 pillow==13.0.0
	@$(DOCS_VENV)/bin/python docs/screenshots.py

lock: ## Resolve the dependencies again: versions and hashes, no URLs
	@$(UV) pip compile --quiet --universal --no-strip-extras --no-header --generate-hashes --no-emit-index-url \
		--extra dev pyproject.toml --output-file requirements.lock

clean: ## Remove the environment; stores stay
	rm -rf $(VENV) $(BENCH_VENV) $(DOCS_VENV)
