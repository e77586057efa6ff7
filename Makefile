# Two commands: `make run` and `make test`. Each installs what it needs into .venv first, once.
#   PYTHON=python3.12   another Python for .venv, 3.11 or newer
#   ARGS="..."          more arguments: make run ARGS="server.port=9000", make test ARGS="-k config"
# `make test-all` runs the slow tests too, as .ci/run does.
#   E2E_WORKERS=1       end-to-end tests one at a time, where other work shares the machine
#   MODEL=wan           make run with the real model, which needs a GPU; YES=1 agrees to its download beforehand

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
E2E_WORKERS ?= 2
MODEL ?= pocket
MODELS := pocket wan wan_1_3b wan_1_3b_framewise wan_i2v_14b
# Which of the Wan models: wan is the small one; nothing for pocket.
WAN := $(patsubst wan,wan_1_3b,$(filter-out pocket,$(MODEL)))
BIN := $(VENV)/bin
CLIENTS := tests/e2e/clients
# A person sees how far the download is; a log stays short.
QUIET := $(shell [ -t 2 ] || echo -qq)

.PHONY: help run known-model gpu test test-all lint chromium clients clean
.DELETE_ON_ERROR:

help:
	@echo "make run    install what the server needs, then serve http://127.0.0.1:8080"
	@echo "            MODEL=wan takes the real model, on a GPU, and asks before it downloads"
	@echo "make test   install what the tests need, then run them all but the slow ones"
	@echo "make test-all   those too: minutes of one stream, more programs and networks"
	@echo "make lint   ruff and pyright"
	@echo "make clean  remove $(VENV) and $(CLIENTS)/node_modules"

ifeq ($(WAN),)
run: $(VENV)/.stamp-run gpu
	@exec $(BIN)/python server.py $(ARGS)
else
run: known-model $(VENV)/.stamp-wan
	@$(BIN)/python -m pipeline.download --model $(WAN)
	@exec $(BIN)/python server.py configs/$(WAN).yaml $(ARGS)
endif

known-model:
	@case " $(MODELS) " in *" $(MODEL) "*) ;; \
	  *) echo "There is no MODEL=$(MODEL); the models are: $(MODELS)" >&2; exit 1;; esac

# Not told: a GPU of less than 12 GB, which is 12282 MiB on some cards of that name.
gpu:
	@nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits 2>/dev/null \
	  | while IFS=, read -r name mib; do \
	    if [ "$${mib# }" -ge 12000 ] 2>/dev/null; then \
	      echo "$$name: 'make run MODEL=wan' would run the real model, Wan2.1, on this GPU."; break; \
	    fi; \
	  done || :

# Two passes. The end-to-end tests, whose servers, browsers and ffmpeg keep real time, wait for frames more than they
# compute: of the cores that they leave idle the rest is computed side by side, with the highest nice value, and told
# when both have ended. With the slow tests, which measure more, one pass follows the other. With ARGS it is one process,
# as plain pytest is. Byte code is kept, or each of the many processes would compile everything anew.
COMPUTED := -n auto --maxprocesses 4 --dist worksteal --ignore tests/e2e
IN_TIME = -n $(E2E_WORKERS) --dist worksteal tests/e2e
test: $(VENV)/.stamp-dev chromium clients
	$(BIN)/ruff check .
ifeq ($(strip $(ARGS)),)
	@export PYTHONDONTWRITEBYTECODE=; told=$$(mktemp); failed=0; \
	(set -x; exec nice -n 19 $(BIN)/pytest $(COMPUTED)) >$$told 2>&1 & \
	trap 'kill $$! 2>/dev/null; cat $$told; rm $$told' EXIT; trap 'exit 130' INT TERM; \
	(set -x; $(BIN)/pytest $(IN_TIME)) || failed=1; \
	wait $$! || failed=1; \
	exit $$failed
else
	$(BIN)/pytest $(ARGS)
endif

# Any mark at all; without it pyproject.toml leaves the slow tests out.
test-all: $(VENV)/.stamp-dev chromium clients
	$(BIN)/ruff check .
ifeq ($(strip $(ARGS)),)
	@failed=0; export PYTHONDONTWRITEBYTECODE=; \
	(set -x; $(BIN)/pytest -m "" $(COMPUTED)) || failed=1; \
	(set -x; $(BIN)/pytest -m "" $(IN_TIME)) || failed=1; \
	exit $$failed
else
	$(BIN)/pytest -m "" $(ARGS)
endif

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check .
	$(BIN)/pyright

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Vivant needs Python 3.11 or newer, as PYTHON=python3.12 for example; this is: $$($(PYTHON) --version 2>&1)"; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python can't make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.stamp-run: pyproject.toml | $(BIN)/python
	@echo "Installing torch, aiortc, aiohttp, PyAV, open_clip and what they need into $(VENV):"
	@echo "1.2 GB on disk with a CPU build of torch, about 5 GB (a download of 2.7 GB) with the CUDA build."
	@echo "Nothing outside $(VENV) is touched. This takes a few minutes, once."
	@$(BIN)/python -m pip install $(QUIET) -e .
	@touch $@

$(VENV)/.stamp-wan: pyproject.toml | $(BIN)/python
	@echo "Installing the server's packages and what Wan2.1 needs beside them (transformers, huggingface_hub) into"
	@echo "$(VENV): 1.4 GB on disk with a CPU build of torch, about 5 GB (a download of 2.7 GB) with the CUDA build."
	@echo "Nothing outside $(VENV) is touched. This takes a few minutes, once."
	@$(BIN)/python -m pip install $(QUIET) -e '.[wan]'
	@touch $(VENV)/.stamp-run $@

$(VENV)/.stamp-dev: pyproject.toml | $(BIN)/python
	@echo "Installing the server's packages (torch, aiortc, aiohttp, PyAV, open_clip) and the test tools (pytest,"
	@echo "ruff, pyright, Playwright, OpenCV, ffmpeg, Ray) into $(VENV): 2.1 GB on disk with a CPU build of torch, about"
	@echo "6 GB (a download of 3.1 GB) with the CUDA build. Nothing else is touched. This takes a few minutes, once."
	@$(BIN)/python -m pip install $(QUIET) -e '.[dev]'
	@touch $(VENV)/.stamp-run $@

# The browser tests use the system's Chromium; $$CHROMIUM names another.
chromium:
	@if [ -n "$$CHROMIUM" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	  || command -v google-chrome >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium for the browser tests with apt-get: 290 MB on disk."; \
	  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
	    apt-get -qq install -y --no-install-recommends chromium >/dev/null; } \
	    || echo "Chromium could not be installed."; \
	else echo "No Chromium: the browser tests will be skipped. To have them: sudo apt-get install chromium"; fi

# Two WebRTC stacks that tests connect with; npm leaves a lock file of its own where it has installed.
clients:
	@if command -v npm >/dev/null; then \
	  [ $(CLIENTS)/node_modules/.package-lock.json -nt $(CLIENTS)/package-lock.json ] || { \
	    echo "Installing two WebRTC stacks for the tests with npm into $(CLIENTS)/node_modules: 38 MB on disk."; \
	    npm ci --prefix $(CLIENTS) --silent --no-audit --no-fund || echo "They could not be installed."; }; \
	else echo "No npm: the tests with other WebRTC stacks will be skipped. To have them, install Node.js with npm."; fi

clean:
	rm -rf $(VENV) $(CLIENTS)/node_modules
