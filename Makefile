# Everything sets itself up: `make demo` and `make test` need only Python >= 3.10 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python tests/support/rerun.py -q
# Whatever the environment says, a module is compiled once: the tests start more than a thousand interpreters.
unexport PYTHONDONTWRITEBYTECODE
# Go's programs hold little here: to search it for garbage as often as a server does is a quarter of all they compute.
test-stack test-kubernetes test-drills test-dashboards: export GOGC := 400

.PHONY: install test-faults test-wheel sbom demo test lint types check test-unit test-matrix test-peers test-sdk-suite test-frameworks test-load stack-build test-stack test-kubernetes test-drills test-dashboards pictures stack-up bench audit docs generate generated clean help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(READY) ## the whole loop on this machine: provider stub, unchanged app, telemetry, report
	@$(BIN)/python -m openai_safety_otel.demo

test: lint types test-unit ## lint, types and the tests that need no other program

test-unit: $(READY)
	$(PYTEST) -n 2 --dist loadfile -m "not stack and not faults" tests

test-faults: $(VENV)/.faults ## servers, exits and fuzzing: what is left when things break
	$(PYTEST) -n 2 --dist loadscope -m faults tests

test-wheel: $(VENV)/.faults ## the wheel: the same bytes twice, and working where there is no checkout
	PYTHONPATH=tests $(BIN)/python -m wheel.check

audit: $(VENV)/.faults ## known vulnerabilities in what an installation brings
	PYTHONPATH=tests $(BIN)/python -m wheel.audit

sbom: $(VENV)/.faults ## dist/sbom.cdx.json: what the wheel brings, as CycloneDX
	PYTHONPATH=tests $(BIN)/python -m wheel.sbom

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

test-matrix: $(READY) ## the hook on each supported openai, with each OpenTelemetry
	$(BIN)/python tests/matrix/run.py

test-peers: $(READY) ## beside other GenAI instrumentations, loaded before and after
	$(BIN)/python tests/peers/run.py

test-sdk-suite: $(READY) ## the SDK's own tests, bare and hooked (SDK_SUITE names a checkout; not part of CI)
	$(BIN)/python tests/sdk_suite/run.py

test-frameworks: $(READY) ## the recipes of docs/frameworks.md on the real frameworks
	$(BIN)/python tests/frameworks/run.py

test-columns: $(VENV)/.columns ## the questions on ClickHouse, and columns on S3-compatible storage
	$(PYTEST) -m "not stack" tests/clickhouse tests/store tests/test_notebook.py

test-load: $(READY) ## 10,000 streams of 200 users, 500 at a time (make test runs a tenth of it)
	LOAD_CALLS=10000 $(PYTEST) tests/test_load.py

stack-build: $(READY) ## the real collector, Loki, Prometheus, Alertmanager, Kafka (Go, Java and Maven needed)
	$(BIN)/python stack/build.py

test-stack: stack-build ## everything that runs on the real programs, but for drills, drawing and Kubernetes
	$(PYTEST) --timeout 300 -n 2 --dist loadfile -m "stack and not drawing" --ignore tests/worst_day --ignore tests/stack_up --ignore tests/kubernetes tests

test-kubernetes: stack-build ## the Helm chart and the operator's image: rendered, validated, their parts run
	$(PYTEST) -n 2 --dist loadfile -m stack tests/kubernetes

test-drills: stack-build ## the worst day and the runbook on the whole stack: they wait more than they compute
	PYTHONPATH=tests $(PYTEST) -p support.dealing -n 4 -m stack tests/worst_day tests/stack_up

test-dashboards: stack-build ## the dashboards as Grafana's own libraries draw them, from real stores
	$(PYTEST) --timeout 600 -m drawing tests/dashboards

pictures: stack-build ## draw anew the pictures that README, grafana/README.md and the runbook show
	PYTHONPATH=tests:. $(BIN)/python -m dashboards.pictures

stack-up: $(READY) ## the stack on loopback, with a product in use and the runbook's commands at hand
	$(BIN)/python stack/up.py

bench: $(READY) ## all benchmarks, results into benchmarks/results
	$(BIN)/python benchmarks/run.py

docs: generate pictures ## everything generated, and the pictures drawn anew

generate: $(READY) ## write everything generated: docs, collector files, dashboards, rules
	@$(BIN)/python docs/generate.py
	@$(BIN)/python stack/generate.py
	@$(BIN)/python -m grafana.build
	@$(BIN)/python -m stack.chart

generated: $(READY) ## compare what is generated with what is committed
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python stack/generate.py --check
	@$(BIN)/python -m grafana.build --check
	@$(BIN)/python -m stack.chart --check

# A stamp that is older than pyproject.toml means: install again.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python >= 3.10 is needed; set PYTHON=python3.x")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "The venv module is missing: install the package python3-venv (Debian, Ubuntu) or set PYTHON=" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -U 'pip>=25.1'
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[demo,redis,webhooks]' --group dev
	@touch $(READY)

$(VENV)/.faults: $(READY)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --group faults
	@touch $@

$(VENV)/.columns: $(READY)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --group columns
	@touch $@

install: $(VENV)/.faults $(VENV)/.columns ## everything the tests need, into .venv

clean: ## remove what was built here
	rm -rf $(VENV) .build .cache dist .mypy_cache .ruff_cache .pytest_cache
