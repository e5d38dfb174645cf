# `make` or `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?=
FOLDER ?= verify-large
REVISION ?= HEAD
SEEDS ?= 0:5000
NETWORK ?= fib-10nm
FILES ?=
READERS ?= cloud_volume graphene webknossos files networks ome_zarr
export OMP_WAIT_POLICY ?= passive

.DEFAULT_GOAL := help
.PHONY: help demo fuzz test test-python test-readers test-lowest setup lint docs figures test-without-jit mutants coverage bench bench-scale verify-large same-arrays against weights study clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'Variables: PYTHON, DATA (a volume, or the folder of the sample volumes), FOLDER, NETWORK, REVISION, SEEDS, FILES, READERS.'

demo: $(READY) ## set up in .venv and segment a volume, with a report (DATA=fib25_sample2.h5 for a real one)
	$(BIN)/clew demo demo $(if $(DATA),--data $(DATA))

test: $(READY) ## set up in .venv and pass the tests
	$(BIN)/python -m pytest

test-python: ## the tests with another Python (PYTHON=python3.13), in an environment of its own
	$(MAKE) test VENV=.venv-$(notdir $(PYTHON))

test-readers: $(READY) ## exports are read by the tools they are for, in environments of their own (build/readers)
	$(BIN)/python tests/readers/all.py build/readers $(READERS)

test-lowest: build/lowest.txt ## the tests with the lowest versions that pyproject.toml allows, in an environment of its own
	$(MAKE) test VENV=.venv-lowest CONSTRAINTS=$<

build/lowest.txt: pyproject.toml
	mkdir -p build
	sed -n '/^dependencies/,/^]/s/^ *"\(.*\)>=\(.*\)",/\1==\2/p' $< > $@

setup: $(READY) ## set up in .venv, with all that development needs

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable . --group dev
	touch $(READY)

lint: $(READY) ## style and types: ruff and mypy
	$(BIN)/ruff check src tests benchmarks website hatch_build.py
	$(BIN)/ruff format --check src tests benchmarks website hatch_build.py
	$(BIN)/mypy

docs: $(READY) ## the documentation as a site, in build/site; a link that leads nowhere is an error
	$(BIN)/python -m website

figures: $(READY) ## the figures of docs/images that are made of synthetic volumes (method-…, arrays, anisotropic), anew
	$(BIN)/python -m benchmarks.figures

test-without-jit: $(READY) ## the kernels as plain Python, on tiny inputs
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest tests/kernels tests/segmentation tests/evaluation tests/training/test_malis.py tests/training/test_targets.py

mutants: $(READY) ## break the package (or FILES=kernels/border) in small places, one at a time: which test notices?
	$(BIN)/python -m benchmarks.mutants $(FILES)

fuzz: $(READY) ## damaged inputs (SEEDS=0:5000) of every format: right values or one clear line?
	PYTHONPATH=tests $(BIN)/python -m fuzz --seeds $(SEEDS)

coverage: $(READY) ## which lines the tests reach
	$(BIN)/python -m pytest --cov=clew --cov-report=term-missing:skip-covered

bench: $(READY) ## speed and memory against peers, in one run
	$(BIN)/python -m benchmarks

bench-scale: $(READY) ## time and memory of segmentation in blocks, to a gigavoxel, from the labels in DATA
	$(BIN)/python -m benchmarks.scale $(if $(DATA),--data $(DATA))

verify-large: $(READY) ## the large volume in DATA, predicted once into FOLDER, in two shapes of block: identical?
	$(BIN)/python -m benchmarks.verify_large --data $(DATA) --folder $(FOLDER)

same-arrays: $(READY) ## are all results on the raw volume DATA those of git's REVISION, bit for bit?
	$(BIN)/python -m benchmarks.same_arrays $(REVISION) --data $(DATA)

against: $(READY) ## is every kernel as fast as at git's REVISION? on an otherwise idle machine
	$(BIN)/python -m benchmarks.against $(REVISION) $(if $(DATA),--data $(DATA))

weights: $(READY) ## a bundled network (NETWORK), from the annotated volumes in DATA
	$(BIN)/python -m benchmarks.weights $(DATA) $(NETWORK)

study: $(READY) ## does MALIS improve topology? trainings compared on the volumes in DATA; kept in FOLDER, goes on where it was
	$(BIN)/python -m benchmarks.study --data $(DATA) --out $(FOLDER)
	$(BIN)/python -m benchmarks.study.compare --out $(FOLDER)

clean: ## remove the environments and the demo
	rm -rf .venv .venv-python* .venv-lowest demo
