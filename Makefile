# Everything here works on a fresh machine with python3.11+ and make: each target sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
# Processes that share the tests out among them, file by file; each integration worker has a platform of its own.
WORKERS ?= 2
READY := .venv/.ready
export PYTHONPATH := layers/shared
export SAM_CLI_TELEMETRY := 0
# What was compiled once need not be so again: by the other worker, and by each platform that a test starts.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test test-deploy check check-style check-types check-imports check-template check-drift check-lock fix openapi layer-requirements build bench load contract coverage-table permission-table clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Install everything into .venv, as uv.lock says

$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=...)."; exit 1; }
	@test -x $(BIN)/python || { echo "==> Making .venv"; $(PYTHON) -m venv .venv; }
	@test -x $(BIN)/uv || { echo "==> Installing uv"; $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	@echo "==> Installing the locked packages (about half a minute the first time)"
	@$(BIN)/uv sync --frozen --quiet --compile-bytecode
	@touch $@

run: $(READY) ## Start the platform on this machine and print a URL, a key and a curl line
	@$(BIN)/python -m local

test: $(READY) ## Unit, house and integration tests
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/unit tests/house tests/integration
	@$(BIN)/python -m tests.permission_proof

test-deploy: $(READY) ## Build with SAM, deploy to the emulator with IAM enforced, invoke every function
	@$(BIN)/pytest tests/deploy

check: $(READY) ## Format, lint, types, import laws, template, drift of generated files
	@$(MAKE) --no-print-directory -j $(WORKERS) $(if $(filter output-sync,$(.FEATURES)),-Otarget) \
		check-types check-template check-drift check-lock check-style check-imports

check-style:
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

check-types:
	@$(BIN)/mypy

check-imports:
	@$(BIN)/lint-imports

check-template:
	@$(BIN)/cfn-lint template.yaml

check-drift:
	@$(BIN)/python -m local.openapi --check
	@$(BIN)/python -m tests.coverage_table --check
	@$(BIN)/python -m tests.permission_table --check
	@$(BIN)/python -m benchmarks.figures --check
	@$(BIN)/python -m benchmarks.costs --check
	@$(BIN)/python -m benchmarks.scale --check

check-lock:
	@$(BIN)/uv export --frozen --quiet --no-dev --no-hashes --no-header --no-annotate | cmp - layers/shared/requirements.txt \
		|| { echo "layers/shared/requirements.txt drifts from uv.lock: run 'make layer-requirements'."; exit 1; }

fix: $(READY) ## Format, and mend what can be mended by machine
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

openapi: $(READY) ## Generate openapi.json from the handlers
	@$(BIN)/python -m local.openapi

layer-requirements: $(READY) ## Generate the layer's requirements from uv.lock
	@$(BIN)/uv export --frozen --quiet --no-dev --no-hashes --no-header --no-annotate > layers/shared/requirements.txt

build: $(READY) ## Validate the template and build the packages with SAM
	@$(BIN)/sam validate --lint
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sam build --cached --parallel

.PHONY: deploy
deploy: $(READY) ## Build and deploy to AWS: ENV=dev, staging or prod, as samconfig.toml describes them
	@$(BIN)/python -m deployment "$(ENV)"

bench: $(READY) ## Measure everything, write docs/performance.md (BENCH_QUICK=1: 3 minutes, less, into .bench/)
	@$(BIN)/python -m benchmarks

load: $(READY) ## Load test: 20 clients for 30 s (CLIENTS, SECONDS; URL and KEY for a platform that runs already)
	@$(BIN)/python -m benchmarks.load --clients $(or $(CLIENTS),20) --seconds $(or $(SECONDS),30)

contract: $(READY) ## Fuzz all operations with at least 50,000 generated requests (CASES)
	@CONTRACT_CASES=$(or $(CASES),50000) $(BIN)/pytest tests/integration/test_contract.py

permission-table: $(READY) ## Generate docs/permissions.md from the template
	@$(BIN)/python -m tests.permission_table

coverage-table: $(READY) ## Generate docs/coverage.md from the marks of the tests
	@$(BIN)/python -m tests.coverage_table

clean: ## Forget the local platform's data, builds and caches (not .venv)
	@rm -rf .local .aws-sam .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
