# make demo   sets itself up, then indexes a bucket of real media and searches it
# make test   sets itself up, then checks types and style and runs every test
# make check  the same within a minute: types, style, and the tests that start no Ray and no server
# make eval   how well the model in the box retrieves: a table, JSON and a plot under build/eval/
# make chaos  kills runs at every point of the protocol and looks at what the next one makes of it
# make bench  speed and memory: a table, and JSON under build/bench/
# make infra-check  the field's own checkers over infra/, built by Go into a cache the first time
#
# VENV may name another folder for the virtual environment; PYTHON another Python >= 3.11.
# make test ARGS=tests/pipeline/test_plan.py runs only that, in one process.

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(shell { cat requirements.lock pyproject.toml; pwd; } | sha256sum | cut -c1-16)

INFRA_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sensedex-infra

IN_BF16 := tests/encoders/test_precision_proof.py tests/pipeline/test_stages.py \
	tests/pipeline/test_precision_in_runs.py tests/pipeline/test_search_quality.py

SIDE_BY_SIDE := --dist=loadfile --no-loadscope-reorder
WORKERS := $(shell [ "$$(nproc 2>/dev/null)" = 1 ] && echo 3 || echo 4)

export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start some hundred processes, and each would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test browser checkers suite types-and-bf16 check lint style types eval chaos bench infra-check setup \
	clean help

help:
	@sed -n 's/^# //p' Makefile | head -9

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@bash infra/setup/venv.sh "$(PYTHON)" "$(VENV)"
	@rm -f $(VENV)/.ready-*
	@touch $@

demo: $(READY)
	@$(BIN)/sensedex demo $(ARGS)

lint: style types

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# Two files at a time (one, where there is one core), and beside them, on two more workers, what
# mostly waits for a clock (tests/support/waiting_apart.py). Types are checked meanwhile, and what
# depends on the precision runs once more, forced to bf16: what they say comes at their end.
test: style browser checkers
ifeq ($(ARGS),)
	@$(MAKE) --no-print-directory -j2 suite types-and-bf16
else
	$(BIN)/mypy
	$(BIN)/python -m pytest $(ARGS)
endif

# For tests/serve/page; where it cannot be had, those tests are skipped.
browser: $(READY)
	@bash infra/setup/browser.sh

# For tests/infra/test_tools.py: Go builds them in some minutes, once. Where they cannot be had, those
# tests are skipped.
checkers: $(READY)
	@! command -v go > /dev/null || PYTHON=$(abspath $(BIN))/python TOOLS_AT_ONCE=2 \
	  bash infra/setup/tools.sh "$(INFRA_TOOLS)" || \
	  echo "The checkers of infra/ could not be built: their tests are skipped"

suite:
	$(BIN)/python -m pytest -n$(WORKERS) $(SIDE_BY_SIDE) --durations=20

types-and-bf16:
	@mkdir -p build
	@{ $(BIN)/mypy && SENSEDEX_ENCODE__PRECISION=bf16 $(BIN)/python -m pytest $(IN_BF16); } \
	  > build/types-and-bf16.txt 2>&1; status=$$?; cat build/types-and-bf16.txt; exit $$status

# Processes share the cores: threads of torch that wait for work must not spin meanwhile.
test check suite types-and-bf16: export OMP_WAIT_POLICY := passive
# numpy asks for huge pages, and a virtual machine may take long to make them: 7 of the 9 seconds in
# which the kernel makes room for the weights of a ViT-H.
test suite types-and-bf16: export NUMPY_MADVISE_HUGEPAGE := 0

# What a contributor runs before each commit: two cores, one minute. What each marker means stands in
# pyproject.toml.
check: lint
	$(BIN)/python -m pytest -n2 $(SIDE_BY_SIDE) --durations=10 \
	  -m 'not ray and not prefect and not server and not slow and not huge and not gpu' $(ARGS)

eval: $(READY)
	@$(BIN)/python -m tests.eval $(ARGS)

chaos: $(READY)
	@$(BIN)/python -m tests.chaos $(ARGS)
	@$(if $(ARGS),,$(BIN)/python -m tests.chaos.on_server)
	@$(if $(ARGS),,$(BIN)/python -m tests.chaos.disasters)

bench: $(READY)
	@$(BIN)/python -m tests.bench $(ARGS)

# What of it is in the cache, `make test` runs too (tests/infra/test_tools.py).
infra-check: $(READY)
	@PYTHON=$(abspath $(BIN))/python bash infra/setup/tools.sh "$(INFRA_TOOLS)"
	@bash infra/setup/check.sh "$(INFRA_TOOLS)"

clean:
	rm -rf build .sensedex .mypy_cache .ruff_cache .pytest_cache
