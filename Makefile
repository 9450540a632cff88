PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUDIT := .work/audit
HELM := .work/tools/helm
HELM_VERSION := v4.3.1
ACTIONLINT := .work/tools/actionlint
ACTIONLINT_VERSION := v1.7.12
NAME := x-compliance-connector
WRITTEN = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' connector/__init__.py)
KUBECTL := .work/tools/kubectl
CLUSTER := .work/cluster
KUBERNETES_VERSION := 1.36.3
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
IMAGE ?= $(NAME):$(WRITTEN)
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11

CORE := $(addprefix tests/unit/,coverage events partition source x/test_framing.py x/test_backoff.py docs/test_seams.py docs/test_style.py) --ignore tests/unit/partition/stories
PURE := connector/coverage/*,connector/events/*,connector/partition/*
EXAMPLES = $(if $(SEED),--hypothesis-profile=new-examples --hypothesis-seed=$(SEED))
INTEGRATION := $(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder tests/integration
FAST = $(if $(ALL),,-m "not slow")

# Tests start hundreds of processes and workers, which should not compile the same modules each time.
unexport PYTHONDONTWRITEBYTECODE

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check lint unit coverage versions stories integration chart generate cluster-test deploy image-test monitoring faults \
  bench audit image base release check-tag image-push image-start image-sbom image-sign image-digest chart-push chart-sign \
  chart-digest format venv lock clean chromium curl go java jq postgres prometheus

# $(call step,NAME,COMMAND): says what runs, and which one it was that failed.
define step
@echo "==> $(1)"
@$(2) || { echo "==> failed: $(1)" >&2; exit 1; }
endef

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

# What the integration tests run, built while nothing competes for the processor: a cold build takes longer than they wait.
define integration-parts
$(call step,Java parts of the test rig,$(BIN)/python -m tests.rig.java)
$(call step,Go example,! go -C examples/go list -m >/dev/null 2>&1 || go -C examples/go build -o /dev/null .)
endef

demo: $(VENV)/demo.stamp ## Run the whole path on this machine for DEMO_SECONDS (30): no Docker, no Java, no token
	@$(BIN)/python -m connector demo

test: ALL = 1
test: java prometheus chromium postgres lint unit integration faults monitoring chart deploy ## Run everything but the image: lint, types, unit tests, real Kafka and registry, faults, alerts, chart, compose

lint: $(VENV)/dev.stamp ## Check style, format, types and the direction of imports
	$(call step,ruff check,$(BIN)/ruff check --quiet .)
	$(call step,ruff format,$(BIN)/ruff format --quiet --check .)
	$(call step,mypy,$(BIN)/mypy)
	$(call step,lint-imports,$(BIN)/lint-imports --no-logo)

check: lint ## Run lint, types, the tests of the pure core and of the house rules: what to run before each commit
	$(call step,fast tests,$(BIN)/python -m pytest -n 2 $(CORE))

unit: curl $(VENV)/dev.stamp ## Run the fast unit tests, in half a minute; ALL=1 adds the slow ones, SEED=n draws new examples for the property-based ones
	$(call step,unit tests,CONNECTOR_TEST_SEED=$(SEED) $(BIN)/python -m pytest -n 3 $(FAST) $(EXAMPLES) tests/unit tests/connections)

coverage: curl $(if $(ALL),java prometheus chromium postgres) $(VENV)/dev.stamp ## Measure which branches the unit tests reach: all of the pure core, 90 % of everything; ALL=1 adds what the integration tests reach, 95 %
	$(call step,unit tests with coverage,$(BIN)/python -m pytest -n 3 --cov --cov-report= tests/unit tests/connections)
	$(call step,coverage of the pure core,$(BIN)/coverage report --include=$(PURE) --fail-under=100)
	$(if $(ALL),$(integration-parts))
	$(if $(ALL),$(call step,integration tests with coverage,$(INTEGRATION) --cov --cov-append --cov-report=))
	$(call step,coverage,$(BIN)/coverage report --fail-under=$(if $(ALL),95,90))

versions: curl ## Run the unit tests on every supported Python version that is found here, or on VERSIONS
	$(call step,Python versions,scripts/test-versions $(VERSIONS))

stories: $(VENV)/dev.stamp ## Play N (20000) random histories of an X that lies, on two cores; SEED=n repeats a run
	$(call step,stories,STORIES=$(or $(N),20000) CONNECTOR_TEST_SEED=$(SEED) $(BIN)/python -m pytest -n 2 --dist worksteal --hypothesis-profile=new-examples tests/unit/partition/stories)

integration: java prometheus chromium postgres $(VENV)/dev.stamp ## Run the tests on real Kafka and registry; LONG=1 runs the long ones, too
	$(integration-parts)
	$(call step,integration tests,LONG=$(LONG) $(INTEGRATION))

chart: prometheus $(HELM)-$(HELM_VERSION).stamp $(VENV)/dev.stamp ## Test the Helm chart
	$(call step,chart tests,HELM=$(HELM) $(BIN)/python -m pytest -n 2 --dist loadfile tests/chart)

generate: $(HELM)-$(HELM_VERSION).stamp $(VENV)/dev.stamp ## Write what docs and chart derive from the code: tables, AsyncAPI, the schema of the values, the chart's page
	$(call step,tables of the docs,$(BIN)/python -m tests.unit.docs.tables)
	$(call step,what derives from the chart,HELM=$(HELM) $(BIN)/python -m tests.chart.generate)

cluster-test: $(HELM)-$(HELM_VERSION).stamp $(CLUSTER)/v$(KUBERNETES_VERSION).stamp $(VENV)/dev.stamp ## Install, scale, upgrade and roll back on a real API server; builds it the first time, about 6 minutes, with Go
	$(call step,cluster tests,$(BIN)/python -m pytest -rs tests/cluster)

deploy: prometheus $(ACTIONLINT)-$(ACTIONLINT_VERSION).stamp $(VENV)/dev.stamp ## Check Dockerfile, compose file, release, workflows and, where Node is, the AsyncAPI document; versions written down twice agree
	$(call step,deployment tests,ACTIONLINT=$(ACTIONLINT) $(BIN)/python -m pytest -n 2 tests/deploy)

image-test: java $(VENV)/dev.stamp ## Build the image and run it, locked in, on a real broker; needs root and Debian
	@{ command -v podman && command -v buildah && command -v debootstrap && command -v runc; } >/dev/null \
		|| scripts/install-packages buildah debootstrap podman runc
	$(call step,Java parts of the test rig,$(BIN)/python -m tests.rig.java)
	$(call step,image tests,$(BIN)/python -m pytest tests/image)

monitoring: java jq prometheus $(HELM)-$(HELM_VERSION).stamp $(KUBECTL) $(VENV)/dev.stamp ## Test alert rules and dashboard, also on a real Prometheus, and the operators' commands
	$(call step,Java parts of the test rig,$(BIN)/python -m tests.rig.java)
	$(call step,monitoring tests,HELM=$(HELM) KUBECTL=$(KUBECTL) $(BIN)/python -m pytest -n 2 --dist loadfile tests/monitoring)

faults: java $(VENV)/dev.stamp ## Play the short fault scenarios; ROUNDS=n draws n rounds from all of them, SEED=n repeats a run
	$(call step,Java parts of the test rig,$(BIN)/python -m tests.rig.java)
	$(call step,fault scenarios,CONNECTOR_TEST_SEED=$(SEED) ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -n 4 --maxschedchunk 1 tests/faults)

bench: java $(VENV)/bench.stamp ## Measure speed on real Kafka, about 15 minutes; BENCH=--sweep compares settings instead, BENCH=--short only checks that it runs
	$(call step,Java parts of the test rig,$(BIN)/python -m tests.rig.java)
	@$(BIN)/python -m benchmarks --json .work/bench.json $(BENCH)

audit: $(AUDIT)/audit.stamp ## Look up known vulnerabilities of everything that is locked; needs a network
	$(call step,pip-audit,$(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off $(addprefix --requirement ,$(wildcard requirements/*.txt)))

image: $(if $(filter undefined,$(origin PYTHON_DIGEST)),requirements/base.digest) ## Build IMAGE on the locked base; scripts/build-image lists what else can be given
	@IMAGE="$(IMAGE)" scripts/build-image

base: ## Lock the base image by the digest that its tag has now; needs its registry
	@scripts/lock-base

requirements/base.digest:
	@scripts/lock-base

# $(call digest,FILE,PATTERN,RESULT): writes to RESULT the digest that PATTERN finds in FILE.
define digest
sed -n 's/.*$(2).*/\1/p' $(1) | grep -E '^sha256:[0-9a-f]{64}$$' >$(3)
endef

release: $(HELM)-$(HELM_VERSION).stamp $(VENV)/dev.stamp ## Release VERSION: write it everywhere, date the changelog, commit, tag; pushes nothing
	@HELM=$(HELM) $(BIN)/python -m scripts.release $(VERSION)

check-tag:
	@$(PYTHON) -m scripts.release --check-tag "$$TAG"

# A registry takes names in lower case only, and those of a forge's repositories may have capitals.
NEED_REPOSITORY = @: "$${REPOSITORY:?must name the image: REPOSITORY=registry.example.com/$(NAME)}"
NEED_CHARTS = @: "$${CHARTS:?must say where charts are: CHARTS=registry.example.com/charts}"
image-push image-start image-sbom image-sign: export REPOSITORY := $(shell printf '%s' "$$REPOSITORY" | tr '[:upper:]' '[:lower:]')
chart-push chart-sign: export CHARTS := $(shell printf '%s' "$$CHARTS" | tr '[:upper:]' '[:lower:]')

image-push: ## Build the image for PLATFORMS and push it to REPOSITORY, such as registry.example.com/x-compliance-connector
	$(NEED_REPOSITORY)
	@mkdir -p dist
	@$(MAKE) image PUSH=1 IMAGE="$$REPOSITORY:$(WRITTEN)" PLATFORMS="$$PLATFORMS" BUILD_OPTIONS="--metadata-file dist/image.json"
	@$(call digest,dist/image.json,"containerimage.digest": "\(.*\)",dist/image.digest)

image-start: ## Start the pushed image, locked in: it says its version
	$(NEED_REPOSITORY)
	@docker run --rm --network none --read-only --cap-drop ALL "$$REPOSITORY@$$(cat dist/image.digest)" --version

image-sbom: ## Take the bill of materials out of the pushed image, into dist/sbom.cdx.json
	$(NEED_REPOSITORY)
	@docker run --rm --network none --entrypoint cat "$$REPOSITORY@$$(cat dist/image.digest)" /opt/connector/sbom.cdx.json >dist/sbom.cdx.json

image-sign: ## Sign the pushed image with cosign, and attest its bill of materials
	$(NEED_REPOSITORY)
	@cosign sign --yes "$$REPOSITORY@$$(cat dist/image.digest)"
	@cosign attest --yes --type cyclonedx --predicate dist/sbom.cdx.json "$$REPOSITORY@$$(cat dist/image.digest)"

chart-push: $(HELM)-$(HELM_VERSION).stamp ## Package the chart and push it to CHARTS, such as registry.example.com/charts
	$(NEED_CHARTS)
	@mkdir -p dist
	@$(HELM) package --destination dist helm
	@$(HELM) push "dist/$(NAME)-$(WRITTEN).tgz" "oci://$$CHARTS" $(CHART_OPTIONS) >dist/chart.txt 2>&1 || { cat dist/chart.txt >&2; exit 1; }
	@$(call digest,dist/chart.txt,Digest: *\(sha256:[0-9a-f]*\),dist/chart.digest)

chart-sign: ## Sign the pushed chart with cosign
	$(NEED_CHARTS)
	@cosign sign --yes "$$CHARTS/$(NAME)@$$(cat dist/chart.digest)"

image-digest chart-digest:
	@found=$$(cat dist/$(@:-digest=.digest)) && echo "digest=$$found"

format: $(VENV)/dev.stamp ## Apply the fixes that ruff can make, and format
	@$(BIN)/ruff check --quiet --fix --exit-zero . && $(BIN)/ruff format .

venv: $(VENV)/dev.stamp ## Set up .venv for development

lock: $(VENV)/dev.stamp ## Re-lock requirements/ from pyproject.toml, keeping compatible versions
	@$(LOCK) pyproject.toml --output-file requirements/runtime.txt
	@$(LOCK) pyproject.toml --extra demo --constraint requirements/runtime.txt --output-file requirements/demo.txt
	@$(LOCK) pyproject.toml --extra demo --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt
	@$(LOCK) --group build --constraint requirements/dev.txt --output-file requirements/build.txt
	@$(LOCK) pyproject.toml --extra demo --group bench --constraint requirements/dev.txt --output-file requirements/bench.txt
	@$(LOCK) --group audit --constraint requirements/dev.txt --output-file requirements/audit.txt
	@$(LOCK) --group sbom --constraint requirements/dev.txt --constraint requirements/audit.txt --output-file requirements/sbom.txt

clean: ## Remove everything that make created
	@rm -rf $(VENV) .work dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

java:
	@missing=; \
	command -v mvn >/dev/null || missing="maven"; \
	{ command -v javac || ls /usr/lib/jvm/*/bin/javac; } >/dev/null 2>&1 || missing="$$missing default-jdk-headless"; \
	[ -z "$$missing" ] || scripts/install-packages $$missing

chromium:
	@{ command -v chromium || command -v google-chrome; } >/dev/null || scripts/install-packages chromium

curl:
	@command -v curl >/dev/null || scripts/install-packages curl

go:
	@command -v go >/dev/null || scripts/install-packages golang-go

jq:
	@command -v jq >/dev/null || scripts/install-packages jq

postgres:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || scripts/install-packages postgresql

prometheus:
	@command -v promtool >/dev/null || scripts/install-packages prometheus

$(HELM)-$(HELM_VERSION).stamp: | go
	@echo "==> building Helm $(HELM_VERSION)"
	@GOBIN=$(CURDIR)/$(dir $(HELM)) go install -trimpath -ldflags='-s -w' helm.sh/helm/v4/cmd/helm@$(HELM_VERSION)
	@touch $@

$(ACTIONLINT)-$(ACTIONLINT_VERSION).stamp: | go
	@echo "==> building actionlint $(ACTIONLINT_VERSION)"
	@GOBIN=$(CURDIR)/$(dir $(ACTIONLINT)) go install -trimpath -ldflags='-s -w' github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)
	@touch $@

$(KUBECTL): $(wildcard tests/kubectl/*) | go
	@echo "==> building kubectl"
	@go -C tests/kubectl build -trimpath -ldflags='-s -w' -o $(CURDIR)/$@ .

$(CLUSTER)/v$(KUBERNETES_VERSION).stamp: | go
	@echo "==> building Kubernetes $(KUBERNETES_VERSION) and etcd"
	@tests/cluster/build $(KUBERNETES_VERSION) $(CLUSTER)
	@touch $@

$(VENV)/created.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || scripts/install-packages $(notdir $(PYTHON))-venv
	@echo "==> setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo.stamp: requirements/demo.txt | $(VENV)/created.stamp
	@$(PIP) install --require-hashes --requirement $<
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml | $(VENV)/created.stamp
	@$(PIP) install --require-hashes --requirement $<
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/demo.stamp

$(VENV)/bench.stamp: requirements/bench.txt $(VENV)/dev.stamp
	@$(PIP) install --require-hashes --requirement $<
	@touch $@

$(AUDIT)/audit.stamp: requirements/audit.txt
	@echo "==> setting up $(AUDIT)"
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip --disable-pip-version-check --quiet install --only-binary :all: --require-hashes --requirement $<
	@touch $@
