# Everything starts here: each target installs what it needs on a fresh Debian 12, and only what is missing.
#
#   make demo ARGS='...'   and   make test ARGS='-k sessionlog'   pass ARGS on

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The lab owns namespaces and links of the machine: one thing at a time, even under make -j.
.NOTPARALLEL:

PYTHON ?= /usr/bin/python3
VENV ?= .venv
ARGS ?=

READY := $(VENV)/.ready
GUIDE := $(VENV)/.guide
PROMTOOL := $(VENV)/bin/promtool
OBJECT := rtspdsr/dataplane/forward.bpf.o
SOURCES := $(wildcard rtspdsr/dataplane/*.c rtspdsr/dataplane/*.h)

# $(call alone,COMMAND): COMMAND, unless another demo, test, fuzz, soak or benchmark run is at work on this machine
LOCK := /run/lock/rtspdsr-make.lock
BUSY := 75
alone = flock --nonblock --close --conflict-exit-code $(BUSY) $(LOCK) $(1) || { status=$$?; \
	((status != $(BUSY))) || echo "error: another demo, test, fuzz, soak or benchmark run holds $(LOCK)" >&2; exit $$status; }

.PHONY: help demo test test-deb bench fuzz soak check build deb docs clean distclean setup system peers root

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: root setup ## build the lab, play through the balancer, show what happened
	@$(call alone,$(VENV)/bin/rtspdsr lab demo $(ARGS))

test: root setup $(PROMTOOL) ## run all tests, with real servers and players in the lab
	@$(call alone,$(VENV)/bin/python -m pytest $(ARGS))

test-deb: root setup ## build the Debian package, and try it in a clean Debian 12 with systemd
	@$(VENV)/bin/python -m pytest deploy/tests $(ARGS)

bench: root setup peers ## measure; make bench ARGS='forwarding --report FILE' for one part
	@$(call alone,$(VENV)/bin/python -m tests.bench $(ARGS))

fuzz: root setup $(GUIDE) ## hostile input by the million; make fuzz ARGS='frames --count 2000000 --seed 7'
	@$(call alone,$(VENV)/bin/python -m tests.fuzz $(ARGS))

soak: root setup ## half an hour of play with a fault every minute; make soak ARGS='--minutes 10 --seed 7'
	@$(call alone,$(VENV)/bin/python -m tests.soak $(ARGS))

check: setup ## ruff and mypy
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

build: setup ## wheel and source archive, in dist/
	$(VENV)/bin/python -m hatchling build

deb: setup ## Debian package with its Python libraries, in dist/
	@TOOLS=$(VENV)/bin/python deploy/deb/build

$(PROMTOOL): | setup
	@apt/promtool $@

docs: setup ## docs/session-log.md and docs/configuration.md, from the code
	$(VENV)/bin/python -m rtspdsr.logreference >docs/session-log.md.new
	mv docs/session-log.md.new docs/session-log.md
	$(VENV)/bin/python -m rtspdsr.configreference rtspdsr.toml >docs/configuration.md.new
	mv docs/configuration.md.new docs/configuration.md

setup: $(READY) $(OBJECT) ## install what is missing: Debian packages, virtual environment, BPF object

$(GUIDE): $(READY)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,fuzz]'
	@touch $@

clean: ## remove what was built
	rm -rf build dist $(OBJECT) .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find rtspdsr tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## the same, and the virtual environment
	rm -rf $(VENV)

root:
	@if ((EUID != 0)); then echo "error: this needs root: network namespaces, XDP; run: sudo make" >&2; exit 1; fi

system:
	@apt/install-missing

peers: system
	@apt/install-missing bench.txt

$(READY): pyproject.toml hatch_build.py | system
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Python packages into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(OBJECT): $(SOURCES) hatch_build.py | $(READY)
	$(VENV)/bin/python hatch_build.py
