# Two commands on a fresh machine: `make demo` and `make test`. They need Python 3.11 to 3.13 and a package registry.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
FUZZ_SECONDS ?= 60
# A process for each processor; the tests of one file share what they build. In order: the many short ones come last.
PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder
# On a terminal pip shows what it fetches; in a log it is quiet.
QUIET := $(if $(MAKE_TERMOUT),,--quiet)

.PHONY: help demo ui test faults fuzz check format docs bench lock clean

help:
	@echo "make demo    build the demo site and print what came out"
	@echo "make ui      open the Dagster UI on the demo site (http://localhost:3000)"
	@echo "make test    run the tests"
	@echo "make faults  bad files, landings and disks, killed builds: all of docs/faults.md (minutes; as root, more of it)"
	@echo "make fuzz    look for inputs that break the parsers, for FUZZ_SECONDS (60); needs atheris"
	@echo "make check   what a change must pass: lint, types, SQL style, definitions, generated docs, tests"
	@echo "make format  format Python"
	@echo "make docs    write the generated files anew (data dictionary, column lineage, faults, definitions snapshot)"
	@echo "make bench   measure time and memory on generated sites, beside other ways to compute the same (an hour)"
	@echo "make lock    resolve the dependencies anew into requirements.lock"
	@echo "make clean   remove the demo site and caches"

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "installing into $(VENV): about a minute, the first time only"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "$(PYTHON) is not Python 3.11 to 3.13; name one with 'make PYTHON=python3.12 …'"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(QUIET) --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install $(QUIET) --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/capacity demo --dir $(DEMO)

ui: $(VENV)/.installed
	@$(BIN)/capacity demo --dir $(DEMO) > /dev/null
	@echo "Dagster UI: http://localhost:3000 (stop it with Ctrl-C)"
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" DAGSTER_HOME="$(CURDIR)/$(DEMO)/work/dagster_home" CAPACITY_SITE="$(CURDIR)/$(DEMO)/site.toml" \
		$(BIN)/dg dev --port 3000 --log-level warning

test: $(VENV)/.installed
	@$(BIN)/python -m pytest $(PARALLEL)

faults: $(VENV)/.installed
	@$(BIN)/python -m pytest tests/faults tests/pipeline/test_interrupted.py tests/pipeline/test_publish.py \
		-m 'faults or not faults' --numprocesses auto --dist load

fuzz: $(VENV)/.installed
	@$(BIN)/python -c 'import atheris' 2> /dev/null \
		|| { echo "atheris is not installed; get it by: $(BIN)/python -m pip install atheris"; exit 1; }
	@mkdir -p build/fuzz/corpus
	@$(BIN)/python tests/fuzz/fuzz_parsers.py -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -max_len=4096 -len_control=0 \
		-artifact_prefix=build/fuzz/ build/fuzz/corpus

check: $(VENV)/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --processes 2 --disable-progress-bar assets_sql
	@$(BIN)/dg check defs
	@$(BIN)/python -m pytest $(PARALLEL)

format: $(VENV)/.installed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.installed
	@$(BIN)/python -m capacity_dagster.tables.lineage
	@$(BIN)/python -m capacity_dagster.tables.dictionary
	@$(BIN)/python tests/faults/write_page.py
	@$(BIN)/python -m pytest tests/definitions --snapshot-update

bench: $(VENV)/.installed
	@$(BIN)/python -m pip install $(QUIET) --disable-pip-version-check --no-deps --require-hashes -r requirements-bench.lock
	@$(BIN)/python -m bench $(BENCH)

lock:
	@$(PYTHON) -m uv pip compile --quiet --extra dev --generate-hashes --no-annotate --no-header --universal \
		--python-version 3.11 pyproject.toml --output-file requirements.lock
	@$(PYTHON) -m uv pip compile --quiet --extra bench --generate-hashes --no-annotate --no-header --universal \
		--python-version 3.11 --constraint requirements.lock pyproject.toml --output-file requirements-bench.lock

clean:
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
