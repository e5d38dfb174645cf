# make demo    set up in .venv and segment a volume, with a report
# make test    set up in .venv and pass the tests
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DATA ?=
FOLDER ?= verify-large
NETWORK ?= fib-10nm
export OMP_WAIT_POLICY ?= passive

.PHONY: demo test setup lint test-without-jit coverage bench bench-scale verify-large weights study clean

demo: $(READY)
	$(BIN)/clew demo demo $(if $(DATA),--data $(DATA))

test: $(READY)
	$(BIN)/python -m pytest

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $(READY)

# ruff, types
lint: $(READY)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

# the kernels as plain Python, on tiny inputs
test-without-jit: $(READY)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest tests/kernels tests/segmentation tests/evaluation tests/training/test_malis.py tests/training/test_targets.py

coverage: $(READY)
	$(BIN)/python -m pytest --cov=clew --cov-report=term-missing:skip-covered

# speed and memory against peers, in one run
bench: $(READY)
	$(BIN)/python -m benchmarks

# time and memory of segmentation in blocks, to a gigavoxel, from the labels in $(DATA)
bench-scale: $(READY)
	$(BIN)/python -m benchmarks.scale $(if $(DATA),--data $(DATA))

# the large volume in $(DATA), predicted once into $(FOLDER), in two shapes of block: identical?
verify-large: $(READY)
	$(BIN)/python -m benchmarks.verify_large --data $(DATA) --folder $(FOLDER)

# a bundled network, from the annotated volumes in $(DATA)
weights: $(READY)
	$(BIN)/python -m benchmarks.weights $(DATA) $(NETWORK)

# losses, auxiliary targets, fragments and scores compared on the volumes in $(DATA); goes on where it was
study: $(READY)
	$(BIN)/python -m benchmarks.quality --data $(DATA)

clean:
	rm -rf .venv demo
