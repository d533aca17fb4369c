# SPDX-License-Identifier: BSD-3-Clause
# A thin front: each target makes sure of what it needs (scripts/setup.sh installs packages and says
# so), then calls meson, ninja or a script. What is there already is not fetched or built again.

PYTHON := /usr/bin/python3
ONLY   ?=
QUICK  ?=
UPDATE ?=

.PHONY: all build bench demo test perf-guard lint format clean help packages lab

all: build

help:
	@echo 'make             build softiovd and softiov into build/'
	@echo 'make demo        three VMs and an outside network on one switch, with a figure for each claim'
	@echo 'make bench       softiov and its peers side by side: build/bench.json, build/bench.svg;'
	@echo '                 QUICK=1: at most 3 minutes'
	@echo 'make test        everything that CI runs; ONLY=unit|cli|socket|perf|lint|fuzz|vm runs parts (comma-separated)'
	@echo 'make perf-guard  instructions a frame in the data path against tests/perf/bounds; UPDATE=1 writes those'
	@echo 'make lint        formatter, linters, spelling, reference manual: the same as ONLY=lint'
	@echo 'make format      put all C files into shape with clang-format'
	@echo 'make reference   write docs/reference.md anew from the object model'
	@echo 'make clean       remove what was built; keeps build/lab, which was downloaded'

packages:
	@scripts/setup.sh packages

lab: packages
	@scripts/setup.sh lab

build: packages
	@scripts/build.sh build

demo: build lab
	@$(PYTHON) tests/vm/demo.py

test: packages
	@tests/run $(if $(ONLY),--only $(ONLY))

bench: packages
	@$(PYTHON) bench/run $(if $(filter-out 0,$(QUICK)),--quick)

perf-guard: build
	@ninja -C build tests/perf/guard >/dev/null
	@tests/perf/check build $(if $(UPDATE),--update)

lint: packages
	@tests/run --only lint

format: packages
	@scripts/setup.sh format

.PHONY: reference
reference: build
	@build/cli/softiov help --markdown > docs/reference.md

clean:
	@scripts/setup.sh clean
