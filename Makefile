# Two commands on a fresh machine with Python >= 3.11 and a package index:  make demo   make test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?= demo
JOBS ?= 2

.PHONY: demo test quick check docs golden bench bench-large bench-engine bench-alerts wheel clean setup

setup: $(READY)

$(READY): pyproject.toml configs/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with  make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c configs/constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## The main job against the simulated sky: leaves a database, a Parquet file and a picture in demo/
	mkdir -p $(DEMO)
	$(BIN)/harvest --emulate --store $(DEMO)/harvest.db fetch --source gaia_dr3 --source ztf_dr --target "RR Lyr"
	$(BIN)/harvest --emulate --store $(DEMO)/harvest.db export -o $(DEMO)/rr_lyr.parquet --target "RR Lyr"
	$(BIN)/harvest --emulate --store $(DEMO)/harvest.db plot -o $(DEMO)/rr_lyr.png --target "RR Lyr" --fold auto --offset-filters \
	  --filter "G(GAIA_DR3)" --filter "BP(GAIA_DR3)" --filter "RP(GAIA_DR3)" --filter "g(ZTF_DR)" --filter "r(ZTF_DR)"

test: $(READY)  ## All tests, those on PostgreSQL included
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

quick: $(READY)  ## The quick part of the tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

check: $(READY)  ## Lint, types, and whether the generated documentation is current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m harvester.cli.reference --check README.md

docs: $(READY)  ## Write the generated parts of README anew
	$(BIN)/python -m harvester.cli.reference README.md

golden: $(READY)  ## Write the expected tables beside the recordings anew; review them as a diff
	$(BIN)/python -m harvester.testing tests/recordings

bench: $(READY)  ## Ratios, measured interleaved in one run
	$(BIN)/python -m tests.benchmarks

bench-large: $(READY)  ## The same with 10^6 rows a round, and on a store of 10^7: an hour
	$(BIN)/python -m tests.benchmarks --rows 1000000 --held 10000000

bench-engine: $(READY)  ## Runs against the ideal and against the services' own clients, at 200 ms latency; the plan of 10^5 targets
	$(BIN)/python tests/benchmarks/engine_bench.py
	$(BIN)/python tests/benchmarks/plan_bench.py

bench-alerts: $(READY)  ## Nights, streams and cross-matches against what stands under them (the last one wants scipy)
	$(BIN)/python tests/benchmarks/archive_bench.py
	$(BIN)/python tests/benchmarks/stream_bench.py
	$(BIN)/python tests/benchmarks/xmatch_bench.py

wheel: $(READY)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist .

clean:
	rm -rf $(VENV) $(DEMO) dist .pytest_cache .mypy_cache .ruff_cache
