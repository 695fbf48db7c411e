# The front door. `make run` serves this machine with nothing else installed; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Rewritten when the dependencies were installed: for running, and for developing on top.
READY := $(VENV)/ready
DEVELOPMENT := $(VENV)/ready-for-development
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export NAME ROUTE PIN INVITATION ADVERTISE
OPTIONS ?=
# GUESTS=1 serves guests, who have no password; GUESTS=0 does not; otherwise the suite decides.
GUESTS_OPTION = $(if $(GUESTS),$(if $(filter 0 no off,$(GUESTS)),--no-guests,--guests))
# Modules, classes or tests by their Python names; all of them, and the checks, when it is empty.
TESTS ?=

help:
	@echo 'make run                      a server and a route in one process; ADVERTISE=<address> serves other machines,'
	@echo '                              with GUESTS=1 those with clients of upstream, too'
	@echo 'make client NAME=alice        a terminal client; `make run ADVERTISE=...` prints how to join another machine'
	@echo 'make invitation               a code with which somebody can make an account; OPTIONS=--help for more'
	@echo 'make test                     lint, types, generated code and all tests'
	@echo 'make test TESTS=tests.wire    some tests and nothing else: a package, module, class or test by its Python name'
	@echo 'make test-long                tests that take minutes: with more clients, for longer'
	@echo 'make test-image                the Dockerfile: builds the image, and runs its suite; needs root'
	@echo 'make dist                      the wheel and the sdist, in ./dist'
	@echo 'make cluster                  Redis, ZooKeeper, two servers and two routes on this machine'
	@echo 'make bench                    the load generator on a cluster of its own; OPTIONS=--help for more'
	@echo 'make clean, make reset        delete what runs leave; delete the data in ./var, when you say so'
	@echo 'make lint, types, proto, check-proto, venv, distclean'

venv: $(READY)

$(READY): setup.cfg constraints.txt
	@PYTHON="$(PYTHON)" .ci/packages venv
	@test -x $(BIN)/pip || { rm -rf $(VENV); echo 'making $(VENV)'; $(PYTHON) -m venv $(VENV); }
	@echo 'installing what CIM needs into $(VENV)'
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(DEVELOPMENT): $(READY)
	@echo 'installing what developing needs into $(VENV)'
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

# exec: Ctrl-C and `kill` reach the daemon itself, and make has nothing to report when it ended well.
run: $(READY)
	@exec $(BIN)/twistd -n cim $(if $(ADVERTISE),--advertise "$$ADVERTISE") $(GUESTS_OPTION) $(OPTIONS)

client: $(READY)
	@test -n "$$NAME" || { echo 'Who are you? make client NAME=alice'; exit 2; }
	@$(if $(INVITATION),export CIM_CLIENT_INVITATION="$$INVITATION";) exec $(BIN)/cim --user "$$NAME" $(if $(ROUTE),--route "$$ROUTE") $(foreach pin,$(PIN),--pin "$(pin)") $(OPTIONS)

invitation: $(READY)
	@exec $(BIN)/python -m cim.admin invite $(if $(ROUTE),--route "$$ROUTE") $(if $(PIN),--pin "$$PIN") $(OPTIONS)

cluster: $(READY)
	@.ci/packages cluster
	@exec $(BIN)/python -m bench cluster $(OPTIONS)

bench: $(READY)
	@.ci/packages cluster
	@exec $(BIN)/python -m bench load --own-cluster $(OPTIONS)

# Redis, ZooKeeper, nginx and Chromium are for tests.integration alone.
test: $(DEVELOPMENT)
	@$(if $(findstring integration,$(or $(TESTS),integration)),.ci/packages tests)
	@MAKE="$(MAKE) --no-print-directory" $(BIN)/python .ci/tests $(TESTS)

test-long: $(DEVELOPMENT)
	@.ci/packages tests
	@CIM_TEST_LONG=1 $(BIN)/python .ci/tests $(or $(TESTS),tests.long)

lint: $(DEVELOPMENT)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python .ci/lua cim/store/redis/*.lua
	@.ci/javascript

types: $(DEVELOPMENT)
	@$(BIN)/mypy

PROTOC = $(BIN)/python -m grpc_tools.protoc --proto_path=proto $(sort $(wildcard proto/*.proto))

proto: $(DEVELOPMENT)
	@$(PROTOC) --python_out=cim/wire --pyi_out=cim/wire

check-proto: $(DEVELOPMENT)
	@made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && $(PROTOC) --python_out="$$made" --pyi_out="$$made" && \
	for file in "$$made"/* cim/wire/*_pb2.py cim/wire/*_pb2.pyi; do \
		name=$$(basename "$$file"); cmp "$$made/$$name" "cim/wire/$$name" || exit 1; \
	done || { echo 'cim/wire does not match proto/: make proto'; exit 1; }

# The Dockerfile without a container engine: built by buildah on a base that debootstrap makes, and its suite run.
test-image: $(DEVELOPMENT)
	@.ci/packages image
	@CIM_TEST_LONG=1 $(BIN)/python .ci/tests tests.long.test_image

# What people install, and its source.
dist: $(DEVELOPMENT)
	@rm -rf dist *.egg-info
	@$(BIN)/python -m build --outdir dist .

# What runs, tests and tools leave, but no data.
clean:
	rm -rf build dist *.egg-info _trial_temp* twistd*.pid twistd.log .mypy_cache .ruff_cache .hypothesis
	rm -f twisted/plugins/dropin.cache
	find cim bench tests twisted examples -name __pycache__ -prune -exec rm -rf {} +

# Accounts and messages go only when somebody says so.
reset:
	@.ci/reset

distclean: clean
	rm -rf $(VENV) web/node_modules

.PHONY: help venv run client invitation cluster bench test test-long test-image dist lint types proto check-proto clean reset distclean
