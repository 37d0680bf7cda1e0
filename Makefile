# make setup | repro | cells | search | gate | retrain | test | package | ui | serve: each installs what it needs. The machine must have
# Python 3.11, 3.12, 3.13 or 3.14, git and make. The first of these Pythons that runs and can make an environment is
# taken; make PYTHON=... takes another.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$name -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && \
	echo $$name && break; done)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
# DVC keeps pickled values in a folder that every user of the machine may write; here it is the user's alone.
export DVC_SITE_CACHE_DIR := $(CURDIR)/.dvc/site-cache
JOBS ?= 2
.PHONY: setup serve-setup cluster test-setup repro cells search gate retrain test package ui serve lock

# Installs packages of pyproject.toml and their dependencies, in the versions and with the hashes of the lock. It
# compiles them to bytecode once, so that they load fast in every stage, also if Python must not write bytecode.
INSTALL = uv pip install --require-hashes --compile-bytecode --constraint requirements.lock --requirements pyproject.toml

setup: .venv/installed

# uv is installed first, from its own lines of the lock. --exact removes what an older lock had installed. The project
# itself is installed as a link to this folder, so that `import acol` and the command `acol` work everywhere.
.venv/installed: requirements.lock
	$(if $(PYTHON),,$(error Python 3.11 to 3.14 is needed, with its modules venv and ensurepip (Debian: python3-venv); \
		install one, or name it: make PYTHON=/path/to/python3))
	@echo "Setting up .venv with $(PYTHON), once: PyTorch (with its CUDA libraries), MLflow, DVC. 2.7 GB are downloaded,"
	@echo "5.8 GB are filled; it takes 2 to 10 minutes, most of it the download. Tests and the service add what they need later."
	$(PYTHON) -m venv .venv
	awk '/^[^ ]/ {keep = /^uv==/} keep' requirements.lock > .venv/uv.lock
	pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	$(INSTALL) --exact --extra pipeline --group build
	uv pip install --no-deps --no-build-isolation --editable .
	mkdir -p -m 700 $(DVC_SITE_CACHE_DIR)
	dvc config --local core.site_cache_dir $(DVC_SITE_CACHE_DIR)
	touch $@

# What the service, a cluster or shared stores, and the tests need in addition.
serve-setup: .venv/serve
cluster: .venv/cluster
test-setup: .venv/test

.venv/serve: .venv/installed
	$(INSTALL) --extra serve
	touch $@

.venv/cluster: .venv/installed
	$(INSTALL) --extra cluster
	touch $@

.venv/test: .venv/installed
	@echo "Adding what the checks and tests need: 0.4 GB, a minute."
	$(INSTALL) --all-extras --group dev
	touch $@

.venv/release: .venv/installed
	$(INSTALL) --group release
	touch $@

repro: setup
	python -m pipeline.repro

# Like repro, but with JOBS trainings at a time, which share the cores. Those that fail are named; the others are kept.
# (xargs would stop at DVC's exit status 255.)
cells: setup
	python -m pipeline.repro split pretrained
	threads=$$(($$(getconf _NPROCESSORS_ONLN) / $(JOBS))); \
	export OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$$((threads > 1 ? threads : 1))}; \
	dvc stage list --name-only | grep '^train@' | \
		xargs -P $(JOBS) -I CELL sh -c 'python -m pipeline.repro --alone CELL || exit 1'
	python -m pipeline.repro

# Draws and trains as the section search of params.yaml says, JOBS trainings at a time.
search: setup
	python -m pipeline.repro split pretrained
	python -m pipeline.search --jobs $(JOBS) $(ARGUMENTS)

# The command exits with 3, and make fails, if the best cell is not clearly better than the champion, which then stays.
gate: setup
	python -m pipeline.gate

# Continuous integration runs make retrain ARGUMENTS="--base origin/main --no-gate". The stores may be shared ones.
retrain: cluster
	python -m pipeline.retrain $(ARGUMENTS)

# Tests run in three processes of one thread each, for two cores: some tests wait for a program or a time.
test: test-setup
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	OMP_NUM_THREADS=1 pytest -n 3 --dist loadfile --no-loadscope-reorder

# Builds the archives of a release in dist/, installs each in an environment of its own, and lists the locked packages.
package: .venv/release
	rm -rf dist
	uv build --quiet --no-build-isolation --sdist --wheel
	for archive in dist/*.whl dist/*.tar.gz; do \
		rm -rf .venv/archive && python -m venv .venv/archive && \
		VIRTUAL_ENV=.venv/archive uv pip install --quiet --constraint requirements.lock "acol[pipeline] @ file://$(CURDIR)/$$archive" && \
		(cd / && $(CURDIR)/.venv/archive/bin/acol --version) || exit 1; \
	done
	cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json

ui: setup
	python -m pipeline.ui $(ARGUMENTS)

serve: serve-setup
	python -m pipeline.serve $(ARGUMENTS)

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--all-extras --group build --group dev --group release $(if $(UPGRADE),--upgrade) pyproject.toml --output-file requirements.lock
