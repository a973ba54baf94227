# make check | test | test-all | test-edge | test-install | test-arm64 | test-gpu | demo [SOURCE=path]; each sets up its own virtual environment in .venv
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
GPU_PYTHON ?= $(BIN)/python
# the pinned versions have no builds for CPython 3.10, which takes the newest that it can
PINS := $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" if sys.version_info >= (3, 11) else "")')
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: setup check test test-all test-edge test-install test-arm64 test-gpu demo clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -U pip
	$(BIN)/pip install -q $(TORCH)
	$(BIN)/pip install -q $(PINS) -e '.[dev]'
	$(BIN)/pip install -q $(PINS) --no-deps pyirstdmetrics  # see pyproject.toml
	touch $@

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS)

test-all: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadgroup -m ''

test-edge: setup
	$(BIN)/python tools/edge_alone.py

test-install: setup
	$(BIN)/python tools/fresh_install.py

test-arm64: setup
	$(BIN)/python tools/test_arm64.py

# GPU_PYTHON: one that has pycuda and TensorRT beside irdim and pytest (docs/gpu.md)
test-gpu: setup
	$(GPU_PYTHON) -m pytest tests/gpu
	@if $(GPU_PYTHON) -c 'import pycuda, tensorrt' 2>/dev/null; then $(GPU_PYTHON) bench/gpu_pipeline.py; else echo 'no pycuda and TensorRT: bench/gpu_pipeline.py not run'; fi

demo: setup
	$(BIN)/python tools/demo.py $(if $(SOURCE),--source '$(SOURCE)')

clean:
	rm -rf $(VENV) demo .edge .install .arm64 .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
