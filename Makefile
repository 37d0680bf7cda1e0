# make setup | repro | cells | gate | retrain | test | ui | serve: each sets up what it needs on a machine with Python 3.11, git and make.
PYTHON ?= python3.11
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
JOBS ?= 2
.PHONY: setup repro cells gate retrain test ui serve lock

setup: .venv/installed

# uv comes first, by its own lines of the lock; it then installs exactly the lock. Compiled once here, the libraries load
# fast in every stage, also where Python is told to write no bytecode.
.venv/installed: requirements.lock
	$(PYTHON) -m venv .venv
	awk '/^[^ ]/ {keep = /^uv==/} keep' requirements.lock > .venv/uv.lock
	pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	touch $@

repro: setup
	dvc repro

# As repro, but with JOBS trainings at a time, which share the cores. Each that fails is named; the others are kept.
# (xargs would stop at DVC's exit status 255.)
cells: setup
	dvc repro split pretrained
	threads=$$(($$(getconf _NPROCESSORS_ONLN) / $(JOBS))); \
	export OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$$((threads > 1 ? threads : 1))}; \
	dvc stage list --name-only | grep '^train@' | \
		xargs -P $(JOBS) -I CELL sh -c 'dvc --wait-for-lock repro --single-item CELL || exit 1'
	dvc repro

# Exit status 3 of the command, and so a failure here: the best cell does not beat the champion, which stays.
gate: setup
	python -m pipeline.gate

# What continuous integration runs: make retrain ARGUMENTS="--base origin/main --no-gate".
retrain: setup
	python -m pipeline.retrain $(ARGUMENTS)

# Tests run in two processes; each is then faster with one thread than both with two.
test: setup
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile

ui: setup
	python -m pipeline.ui $(ARGUMENTS)

serve: setup
	python -m pipeline.serve

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group dev --all-extras pyproject.toml --output-file requirements.lock
