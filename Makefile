# `make demo` and `make test` are all the set-up there is: each makes .venv and installs what it needs.
PYTHON ?= python3
VENV ?= .venv
# Linux without an NVIDIA GPU gets the small build of TensorFlow; say TENSORFLOW=tensorflow for the other.
TENSORFLOW ?= $(shell [ "$$(uname -sm)" = "Linux x86_64" ] && ! command -v nvidia-smi >/dev/null && echo tensorflow-cpu || echo tensorflow)
# Only some tests need it, and pytorch-metric-learning, which keeps the build that is there. This is the CPU build;
# where pip cannot find it, the newest one is taken.
TORCH ?= torch==2.13.0+cpu
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
# As many tests at a time as there are cores, up to four; those of a file stay together and share what they make.
PYTEST = $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-slow test-all torch parity lint format clean

demo: $(STAMP)-core  ## train, export and certify on images that come with a dependency
	$(BIN)/kerasvision demo

test: $(STAMP)-test  ## the quick tests
	$(PYTEST)

test-slow: $(STAMP)-torch  ## the slow tests and those on real data, also against torch
	$(PYTEST) -m "slow or realdata"

test-all: $(STAMP)-torch  ## all tests, also the slow ones, those on real data and those against torch
	$(PYTEST) -m ""

torch: $(STAMP)-torch  ## install what the tests against torch need; without it they are skipped

parity: $(STAMP)-torch  ## compare networks with those of torchvision, losses with pytorch-metric-learning
	$(PYTEST) -m "" tests/models/test_torch_parity.py tests/embedding/test_metric_learning_parity.py

lint: $(STAMP)-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(STAMP)-test
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(STAMP)-core: setup.cfg setup.py | $(BIN)/pip
	$(BIN)/python -m pip install --quiet "$(TENSORFLOW)>=2.18"
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(STAMP)-test: $(STAMP)-core
	$(BIN)/python -m pip install --quiet -e ".[test,dev]"
	touch $@

$(STAMP)-torch: $(STAMP)-test
	$(BIN)/python -m pip install --quiet "$(TORCH)" || echo "There is no $(TORCH) here: the newest torch is taken."
	$(BIN)/python -m pip install --quiet -e ".[parity]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
