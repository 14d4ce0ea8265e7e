# The commands of the README and of CI. Everything goes into one virtual environment.
#   make test PYTHON=python3.12              another interpreter (after `make clean`)
#   make test PYTEST_ARGS="-n 2 -m 'not slow'"   options for pytest
#   make train TRAIN_ARGS="--epochs 3"       options for `minisgd train`
#   make bench BENCH_ARGS="--quick"          options for `python -m benchmarks.run`
PYTHON ?= python3
VENV ?= .venv
# Two processes: TensorFlow takes seconds and hundreds of megabytes to load in each, and no test
# measures time against another. PYTEST_ARGS= for one.
PYTEST_ARGS ?= -n 2 --durations=15
TRAIN_ARGS ?=
BENCH_ARGS ?=
# What minisgd is measured beside; each has an extra of its own, bench-NAME.
PEERS ?= keras jax torch sklearn autograd

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

METADATA := setup.cfg pyproject.toml
SOURCES := $(wildcard minisgd/*.py minisgd/*/*.py kernels/minisgd_kernels/*.py)

# Stamps: pip runs again only where its input changed. An editable install (test, lint, bench) follows
# the sources by itself and serves `make train` too; the plain one has to follow them by hand.
PLAIN := $(VENV)/.installed
TEST := $(VENV)/.installed-test
LINT := $(VENV)/.installed-lint
BENCH := $(VENV)/.installed-bench
ANY := $(firstword $(wildcard $(TEST) $(LINT) $(BENCH)) $(PLAIN))

.DEFAULT_GOAL := help
.PHONY: help train test soak coverage lint parity-full parity-record bench clean

help:
	@echo "make train   train 784-128-10 on the bundled MNIST, with a live progress bar"
	@echo "make test    install the test extras (TensorFlow included) and run the suite"
	@echo "make parity-full   the long comparisons with Keras (over an hour); records the figures"
	@echo "make parity-record records anew what live Keras computes and which names it has"
	@echo "make soak    200 killed and resumed runs, 10,000 damaged files, memory and pace (half an hour)"
	@echo "make coverage  the suite with line and branch coverage; below 95 % is a failure"
	@echo "make bench   install the peers and measure minisgd beside them (half an hour)"
	@echo "make lint    ruff, ruff format and mypy --strict"
	@echo "make clean   remove the environment, caches and build products (runs/ is kept)"

train: $(ANY)
	$(BIN)/minisgd train $(TRAIN_ARGS)

test: $(TEST)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Long: not part of `make test`, which checks the recorded figures' form and freshness instead.
parity-record: $(TEST)
	$(BIN)/python -m minisgd.parity.recordings
	$(BIN)/python -m minisgd.parity.names

parity-full: $(TEST)
	$(BIN)/python -m minisgd.parity.full_bits
	$(BIN)/python -m minisgd.parity.full
	$(BIN)/python -m minisgd.parity.full_sgd

# Long: the suite does the same with less of each, and checks the form of what was recorded.
soak: $(TEST)
	$(BIN)/python tests/soak/memory.py --count 200 --record
	$(BIN)/python tests/soak/fuzz.py --files 10000 --record
	$(BIN)/python tests/soak/kill.py --moments 200 --record

coverage: $(TEST)
	$(BIN)/python -m pytest --cov --cov-report=term $(PYTEST_ARGS)

bench: $(BENCH)
	$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

lint: $(LINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.created:
	@$(PYTHON) -c "import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v[:2] <= (3, 13) else \
	'minisgd needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Name another: make ... PYTHON=python3.12' % v[:2])"
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Without build/, which setuptools fills: modules that are gone would come back from there.
$(PLAIN): $(VENV)/.created $(METADATA) $(SOURCES)
	rm -rf build
	$(BIN)/python -m pip install -q .
	@touch $@

$(TEST): $(VENV)/.created $(METADATA)
	$(BIN)/python -m pip install -q -e ".[test]"
	@touch $@

$(LINT): $(VENV)/.created $(METADATA)
	$(BIN)/python -m pip install -q -e ".[lint]"
	@touch $@

# A peer that can't be installed here is left out; the report names it.
$(BENCH): $(VENV)/.created $(METADATA)
	$(BIN)/python -m pip install -q -e ".[bench]"
	@for peer in $(PEERS); do $(BIN)/python -m pip install -q -e ".[bench-$$peer]" \
		|| echo "make bench: $$peer was not installed; going on without it"; done
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find minisgd kernels tests parity_tests -name __pycache__ -prune -exec rm -rf {} +
