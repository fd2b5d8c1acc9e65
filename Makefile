# Everything a contributor types. Programs live in dev/; this file only names them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PY := .venv/bin/python
.PHONY: help lint check format test test-unit crds dashboards lock lock-add cluster cluster-down cluster-status control-plane images demo demo-canary demo-autoscale demo-experiment demo-console dashboard-pictures demo-down console-page changelog cli docs release

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.synced: requirements/dev.txt operator/pyproject.toml gateway/pyproject.toml serving/pyproject.toml cli/pyproject.toml console/pyproject.toml
	@dev/bootstrap.sh

lint: .venv/.synced ## Style, types and layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

check: lint test-unit ## Lint, and unit tests (two minutes)

format: .venv/.synced ## Rewrite the code in the project's format
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

test: .venv/.synced ## Every test this machine can run: unit, browser, component, chart, end-to-end
	$(PY) -m dev.test

test-unit: .venv/.synced ## Unit tests alone
	.venv/bin/pytest -q -n auto tests/unit

crds: .venv/.synced ## Write the CRD into manifests/ and the chart, and the pages of its fields and of metrics
	$(PY) -m llmdeployment_operator.api.crd
	$(PY) -m dev.api_reference
	$(PY) -m dev.metrics_reference

dashboards: .venv/.synced ## Write alert rules, the list of runbooks and Grafana's dashboards, into manifests/, the chart and docs/
	$(PY) -m dev.monitoring

lock: .venv/.synced ## Resolve all dependencies again and write requirements/
	requirements/export.sh --upgrade

lock-add: .venv/.synced ## Add to requirements/ what a pyproject.toml newly asks for, and change no other pin
	requirements/export.sh

cluster: ## Start (or find) a Kubernetes cluster
	@python3 -m dev.cluster up

cluster-down: ## Stop the local cluster and remove what it left on the machine
	@python3 -m dev.cluster down

cluster-status: ## Say what runs
	@python3 -m dev.cluster status

control-plane: ## Start etcd and kube-apiserver alone (no root needed)
	@python3 -m dev.cluster control-plane

images: ## Build the images for the local cluster, or push them: REGISTRY=registry.example.com/team, ENGINE=cpu|gpu for vLLM, lm-eval for its tasks, CONSOLE=1 for the console
	@python3 -m dev.images $(if $(REGISTRY),--registry $(REGISTRY)) $(if $(ENGINE),--engine $(ENGINE)) $(if $(CONSOLE),--console)

demo: .venv/.synced ## From nothing to a model's answer through the gateway
	@$(PY) -m dev.demo up

demo-canary: .venv/.synced ## Change the running demo under load: prompt, engine, and a bad version that is taken back
	@$(PY) -m dev.demo canary

demo-autoscale: .venv/.synced ## Let the running demo scale by a load that comes and goes, and say why
	@$(PY) -m dev.demo autoscale

demo-experiment: .venv/.synced ## Compare two prompts beside the running demo until one wins, about 12 minutes
	@$(PY) -m dev.demo experiment

demo-console: .venv/.synced ## Serve the console on the running demo and print its address, until Ctrl-C
	@$(PY) -m dev.demo console

dashboard-pictures: .venv/.synced ## Run canaries and autoscaling on the demo, and draw the dashboards from its metrics into docs/pictures, about 15 minutes
	@$(PY) -m dev.demo dashboards

demo-down: ## Remove the demo (the cluster stays)
	@$(PY) -m dev.demo down

console-page: ## Build the console's page into its package, if its source changed
	@python3 -m dev.console_page

changelog: .venv/.synced ## Show what the changelog fragments will say
	@.venv/bin/towncrier build --draft --version next

cli: .venv/.synced ## Build kubectl llm in dist/: a wheel, and one file that needs nothing but Python
	@$(PY) -m dev.plugin

release: .venv/.synced ## Make a release in dist/: VERSION=0.1.0, and DRY_RUN=1 to leave the changelog alone
	@$(PY) -m dev.release $(if $(IMAGES),--images $(IMAGES)) $(if $(DOWNLOADS),--downloads $(DOWNLOADS)) $(if $(DRY_RUN),--dry-run) $(VERSION)

docs: ## Build the site of the pages into .build/site/site, and check its links
	@python3 -m dev.docs_site
