# `make demo` and `make test` need only Python >= 3.11 and make; the rest goes into .venv.
#   PYTHON=python3.12 make setup     chooses the interpreter the environment is made from
#   MUJOCO_GL=osmesa make demo       chooses how MuJoCo draws without a screen

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-engines

# How MuJoCo draws without a screen: EGL where the linker knows it, else OSMesa, else its default.
ifndef MUJOCO_GL
MUJOCO_GL := $(shell PATH="$$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | \
  sed -n 's/.*libEGL\.so.*/egl/p; s/.*libOSMesa\.so.*/osmesa/p' | sort | head -n 1)
endif
ifneq ($(MUJOCO_GL),)
export MUJOCO_GL
endif

# pyright otherwise asks the network for a newer version of itself at every run.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install the tested set of packages

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is missing or older than Python 3.11;" \
	       "name another one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# The engines for accelerators, which run on the CPU too: tests compare them with MuJoCo's C code.
$(TEST_STAMP): $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt \
	  -e '.[dev,mjx,warp]'
	@touch $@

demo: $(STAMP) ## a human clip in: video, report and policy out (a few minutes)
	$(BIN)/python demo.py

test: lint ## lint, types and every test
	$(BIN)/python -m pytest

lint: $(TEST_STAMP) ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: $(STAMP) ## steps per second, environment against physics alone
	$(BIN)/mimic benchmark

clean: ## remove .venv, caches and builds (never out/ or runs/)
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
