# make setup | repro | test: each sets up what it needs on a machine with Python 3.11, git and make.
PYTHON ?= python3.11
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
.PHONY: setup repro test check ui

setup: .venv/installed

# uv comes first, by its own lines of the lock; it then installs exactly the lock.
.venv/installed: requirements.lock
	$(PYTHON) -m venv .venv
	awk '/^[^ ]/ {keep = /^uv==/} keep' requirements.lock > .venv/uv.lock
	pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	uv pip sync --quiet --require-hashes requirements.lock
	touch $@
