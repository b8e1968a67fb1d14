# Bare `make` prints what there is. Every target sets up what it needs: a virtual environment from the hashed lock.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
TF_VARS ?= terraform.tfvars
TF := terraform -chdir=terraform
# What stands in for AWS on this machine: ministack, or localstack (then all that it needs is set up, too).
EMULATOR ?= ministack
export EMULATOR
LOCALSTACK := .local/localstack/.ready
EMULATOR_READY := $(if $(filter localstack,$(EMULATOR)),$(LOCALSTACK))

.PHONY: help
help: ## print this
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed: install Python 3.11 or later, or say PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) does not run here, or is older than the 3.11 that is needed: say another PYTHON=..."; exit 1; }
	@echo "setting up $(VENV) from requirements.lock ..."
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . # `bbq`
	@touch $@

.PHONY: setup
setup: ## the virtual environment, from the hashed lock; of another Python than before with PYTHON=python3.12
	@wanted="$$($(PYTHON) -V)" || { echo "$(PYTHON) does not run here: say another PYTHON=..."; exit 1; }; \
		test ! -x $(RUN) || test "$$($(RUN) -V)" = "$$wanted" || rm -rf $(VENV)
	@$(MAKE) --no-print-directory $(READY)

$(LOCALSTACK): $(READY) $(wildcard local/localstack/*.lock local/localstack/*.toml local/localstack/bbq_localstack/*.py)
	@$(RUN) -m local.setup_localstack
	@touch $@

.PHONY: terraform-present
terraform-present:
	@command -v terraform >/dev/null || { echo "terraform is not installed: install Terraform 1.11 or later (every target that deploys, and the end-to-end tests, need it)"; exit 1; }

.PHONY: demo
demo: $(READY) $(EMULATOR_READY) terraform-present ## everything at once, locally: start, deploy, upload 13 files, watch, check, stop (EMULATOR=localstack)
	@$(RUN) -m local.demo

.PHONY: test
test: $(READY) ## all tests but those of test-faults, with the end-to-end ones on the emulator
	@$(RUN) -m pytest $(ARGS)

.PHONY: test-localstack
test-localstack: $(READY) $(LOCALSTACK) terraform-present ## the end-to-end tests once more, on LocalStack instead of MiniStack (about 20 minutes)
	@EMULATOR=localstack $(RUN) -m pytest $(or $(ARGS),tests/e2e)

.PHONY: test-fast
test-fast: $(READY) ## the tests that need neither emulator nor terraform
	@$(RUN) -m pytest -q --ignore tests/e2e --ignore tests/terraform $(ARGS)

.PHONY: test-faults
test-faults: $(READY) terraform-present ## answers lost between functions and AWS, on the emulator: the tests marked `faults`, which `make test` leaves out (about twelve minutes)
	@$(RUN) -m pytest tests/e2e -m faults --log-cli-level=INFO $(ARGS)

.PHONY: test-pythons
test-pythons: ## the fast tests on Python 3.11, 3.12 and 3.13, each in an environment of its own
	@for version in 3.11 3.12 3.13; do \
		$(MAKE) --no-print-directory test-fast VENV=.local/python$$version PYTHON=python$$version || exit 1; done

.PHONY: simulate
simulate: $(READY) ## many runs of the whole system in one process, others each time (SEEDS=1000; again: FIRST=...), one as a timeline (SEED=7), or a burst (BURST=10000)
	@$(RUN) -m tests.simulation $(if $(SEED),--seed $(SEED),$(if $(BURST),--burst $(BURST),--seeds $(or $(SEEDS),1000) $(if $(FIRST),--first $(FIRST))))

.PHONY: explore
explore: $(READY) ## small worlds under every schedule: two preemptions, one fault at every place (about ten minutes)
	@$(RUN) -m tests.simulation.explore $(ARGS)

.PHONY: mutants
mutants: $(READY) ## put each known mistake back, and count the seeds until the simulation sees it (about half an hour)
	@$(RUN) -m tests.simulation.hunt $(ARGS)

.PHONY: bench
bench: $(READY) ## every measurement of docs/benchmarks.md (about half an hour), or the parts in ARGS (ARGS="--quick scale")
	@$(RUN) -m bench $(ARGS)

.PHONY: lint
lint: $(READY) ## ruff, mypy --strict, terraform fmt
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@if command -v terraform >/dev/null; then terraform fmt -check -recursive terraform; else echo "terraform is not installed: its formatting was not checked"; fi

.PHONY: rights
rights: $(READY) terraform-present ## take every single right away, one at a time, and see what misses it (about ten minutes; rewrites docs/rights.md)
	@$(RUN) -m tests.rights $(ARGS)

.PHONY: encrypted
encrypted: $(READY) terraform-present ## the pipeline on the emulator with a KMS key of one's own
	@$(RUN) -m tests.rights.encrypted

# In an environment of its own: checkov pins another boto3 than MiniStack's botocore allows.
CHECKOV := .local/checkov
$(CHECKOV)/bin/checkov:
	@$(PYTHON) -m venv $(CHECKOV)
	@$(CHECKOV)/bin/pip install --quiet --disable-pip-version-check 'checkov==3.3.30'

.PHONY: checkov
checkov: $(CHECKOV)/bin/checkov ## static checks of terraform/; each skip has its reason beside the resource
	@$(CHECKOV)/bin/checkov --directory terraform --framework terraform --compact --quiet --skip-download

# In an environment of its own, too: what checks the dependencies is none of them.
AUDIT := .local/audit
$(AUDIT)/bin/pip-audit:
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/pip install --quiet --disable-pip-version-check 'pip-audit==2.10.1'

.PHONY: audit
audit: $(AUDIT)/bin/pip-audit ## known vulnerabilities of what requirements.lock names; fails where the index of vulnerabilities cannot be asked
	@$(AUDIT)/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --progress-spinner off --strict

.PHONY: build
build: $(READY) ## the zips of the two functions, in .build/
	@$(RUN) -m local.build

.PHONY: up
up: $(READY) $(EMULATOR_READY) ## start MiniStack and the Bedrock simulator on this machine (EMULATOR=localstack, SIMULATOR="--job-seconds 1-3 ...")
	@$(RUN) -m local.stack up $(SIMULATOR)
	@rm -f .local/terraform/terraform.tfstate* # a new emulator is empty

.PHONY: deploy-local
deploy-local: build terraform-present ## deploy to AWS_ENDPOINT_URL (default: what `make up` started)
	@$(RUN) -m local.deploy apply

.PHONY: env
env: $(READY) ## shell settings for the AWS CLI on the local deployment: eval "$(make -s env)"
	@$(RUN) -m local.stack env

.PHONY: down
down: $(READY) ## end what `make up` started
	@$(RUN) -m local.stack down
	@rm -f .local/terraform/terraform.tfstate*

.PHONY: init
init: terraform-present
	@test -z "$$AWS_ENDPOINT_URL" || { echo "AWS_ENDPOINT_URL is set: this shell points at $$AWS_ENDPOINT_URL and not at AWS. Open another one, or: make deploy-local"; exit 1; }
	@$(TF) init -input=false $${TF_PLUGIN_DIR:+-plugin-dir="$$(realpath "$$TF_PLUGIN_DIR")"}

terraform/$(TF_VARS):
	@echo "terraform/$(TF_VARS) is missing: say there which models to deploy, as the README's section \"Deploy to AWS\" shows"; exit 1

# Terraform reads terraform.tfvars by itself, before the file that it is given: what that one leaves out would come from it.
.PHONY: one-file
one-file: terraform/$(TF_VARS)
	@test "$(TF_VARS)" = terraform.tfvars || test ! -e terraform/terraform.tfvars || { echo "Terraform reads terraform/terraform.tfvars beside $(TF_VARS): give it another name, and say TF_VARS for it, too"; exit 1; }

.PHONY: plan
plan: one-file build init ## what a deployment to AWS would change (variables in terraform/terraform.tfvars, or TF_VARS=prod.tfvars)
	$(TF) plan -var-file=$(TF_VARS)

.PHONY: deploy
deploy: one-file build init ## deploy to AWS, with the credentials and Region of your environment
	$(TF) apply -var-file=$(TF_VARS)

.PHONY: destroy
destroy: one-file build init ## remove a deployment from AWS
	$(TF) destroy -var-file=$(TF_VARS)

LOCK := .local/uv/bin/uv pip compile --generate-hashes --no-header --no-emit-index-url --quiet
LOCALSTACK_DAY := 2026-03-10T00:00:00Z
.PHONY: lock
lock: ## rewrite the locks: requirements.lock from pyproject.toml, and those of local/localstack
	@$(PYTHON) -m venv .local/uv
	@.local/uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9'
	@$(LOCK) pyproject.toml --extra dev --universal --python-version 3.11 -o requirements.lock
	@cd local/localstack && ../../$(LOCK) requirements.in --python-version 3.13 --exclude-newer $(LOCALSTACK_DAY) -o requirements.lock
	@cd local/localstack && ../../$(LOCK) functions.in --python-version 3.13 -o functions.lock

.PHONY: clean
clean: ## remove everything that was made here: stop the stack, delete .venv, .local, .build and caches
	@test ! -x $(RUN) || $(RUN) -m local.stack down
	rm -rf $(VENV) .local .build .mypy_cache .pytest_cache .ruff_cache .hypothesis terraform/.terraform *.egg-info
