# The commands of this repository, for people and for CI. `make help-all` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# In order, also where MAKEFLAGS has -j: a target needs what those before it install.
.NOTPARALLEL:
# The parts and tests are many processes; without bytecode files each compiles what it imports.
unexport PYTHONDONTWRITEBYTECODE

PY := .venv/bin/python
MODEL ?= sentence-transformers/all-MiniLM-L6-v2
LLM ?= qwen2.5-coder:1.5b
# The smallest model that follows the protocol: tests check structure and sources, not prose.
TEST_LLM ?= smollm2:135m
# One process more than processors, since many tests wait for servers.
# Files that share a server stay with one process: tests/conftest.py groups them. Each process may start a whole stack.
# A process that dies ends the run: xdist may wait for ever for the tests of its group.
SIDE_BY_SIDE := --numprocesses $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --maxprocesses 4 --max-worker-restart 0 \
    --dist loadgroup --no-loadscope-reorder
FIRST_DAY := demo up clean-data model deploy test pr help-all
NO_OCR = $(filter 0 no false off,$(OCR))

.PHONY: help
help: ## List the targets for a first day
	@$(MAKE) -s help-all | grep -E '^($(subst $() ,|,$(FIRST_DAY))) '

.PHONY: help-all
help-all: ## List all targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

.PHONY: demo
demo: local ## Start the local stack, upload the examples, ask, print cited answers, stop
	$(PY) -m infra.local demo --model "$(LLM)"

.PHONY: up
up: local ## Start the local stack until Ctrl-C; MODEL_HOST=URL LLM=NAME uses your model; OCR=0 reads no scans, SLEEP=20 stops an unused model, OBSERVE=1 runs Prometheus
	$(if $(NO_OCR),DOCWELL_OCR=off )$(PY) -m infra.local up --model "$(LLM)" $(if $(MODEL_HOST),--model-host "$(MODEL_HOST)") $(if $(SLEEP),--sleep $(SLEEP)) $(if $(OBSERVE),--observe) $(ARGS)

.PHONY: test
test: dev embedder programs ## Run the tests that are not slow: about 7 minutes; ARGS="-k name" selects some
	$(PY) -m pytest $(SIDE_BY_SIDE) -m "not slow" $(ARGS)

.PHONY: test-all
test-all: dev embedder programs ## Run all tests, hostile documents and killed workers too
	$(PY) -m pytest $(SIDE_BY_SIDE) $(ARGS)

.PHONY: coverage
coverage: dev embedder programs ## Run all tests, and list the lines that none runs
	$(PY) -m coverage erase
	$(PY) -m pytest $(SIDE_BY_SIDE) --cov --cov-report= $(ARGS)
	$(PY) -m coverage report

.PHONY: console-test
console-test: dev embedder ## Test the console in Chromium, which it installs where it may: 3 minutes
	@scripts/install-programs chromium
	$(PY) -m pytest $(SIDE_BY_SIDE) -q tests/console $(ARGS)

.PHONY: rendered-test
rendered-test: dev ## Compare which text Chromium, LibreOffice and Poppler draw with the readers' tests: 2 minutes
	@scripts/install-programs chromium libreoffice poppler
	$(PY) -m pytest -q tests/rendered $(ARGS)

.PHONY: mlflow-test
mlflow-test: dev ## Test integrations/mlflow in a separate environment
	@.venv/bin/uv venv --quiet --allow-existing --python $(PY) .venv-mlflow
	@.venv/bin/uv pip sync --quiet --python .venv-mlflow --require-hashes --no-build requirements/mlflow.txt
	.venv-mlflow/bin/python -m pytest -q -c /dev/null -p no:cacheprovider integrations/mlflow $(ARGS)

.PHONY: mcp-conformance
mcp-conformance: dev embedder ## Run MCP's conformance suite on a stack of its own; needs npm
	$(PY) scripts/check-mcp

.PHONY: test-unit
test-unit: dev embedder ## Run the unit tests, without a network
	$(PY) -m pytest $(SIDE_BY_SIDE) -q tests/unit $(ARGS)

.PHONY: pr
pr: lint embedder ## Run what a commit must pass: format, lint, types, unit tests
	$(PY) -m pytest $(SIDE_BY_SIDE) -q tests/unit

.PHONY: lint
lint: dev ## Check format, lint, import contracts and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports --no-logo
	.venv/bin/mypy

.PHONY: pythons
pythons: dev embedder ## Import all modules under each promised Python on this machine, and test http/ and query/ under the oldest
	$(PY) scripts/check-pythons $(ARGS)

.PHONY: format
format: dev ## Format the code and apply the automatic fixes of lint
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.PHONY: model
model: local ## Convert an embedding model to ONNX; MODEL=id-or-folder, or a cross-encoder: RERANKER=
	$(PY) layers/embedder/$(if $(RERANKER),build_reranker.py --model "$(RERANKER)",build_model.py --model "$(MODEL)")

.PHONY: faults
faults: dev ## Prove that no chunk is lost, duplicate or stale; ARGS=--short 4 minutes
	$(PY) -m benchmarks.faults $(ARGS)

.PHONY: attack
attack: dev embedder ## Attack a running stack from outside, by HTTP, S3 and the CLI; ARGS=--short
	$(PY) -m benchmarks.attack $(ARGS)

.PHONY: eval-answers
eval-answers: dev embedder ## Judge answers to 150 questions of the evaluation sets: an hour, N=6 four minutes
	$(PY) -m benchmarks.answers $(if $(N),--n $(N)) $(ARGS)

.PHONY: chaos-query
chaos-query: dev embedder ## Ask while model host, Chroma or ledger fail: 4 minutes, ARGS=--short 1
	$(PY) -m benchmarks.chaos $(ARGS)

.PHONY: hard-pdfs
hard-pdfs: dev ## Read broken and hostile PDFs; N=100 some, ARGS="--folder DIR" others
	$(PY) -m benchmarks.hard_pdfs $(if $(N),--n $(N)) $(ARGS)

.PHONY: eval-guard
eval-guard: dev ## Count wrong answers passed and attacks marked: a minute, without a model; ARGS=--without for each rule
	$(PY) -m benchmarks.guard $(ARGS)

.PHONY: eval-retrieval
eval-retrieval: dev embedder ## Measure which passages questions find: 90 minutes, then 20; N=50
	$(PY) -m benchmarks.retrieval $(if $(N),--n $(N)) $(ARGS)

.PHONY: eval-extraction
eval-extraction: dev ## Compare extracted text with the truth of seven sets; N=3, ARGS=--without leaves out each pass
	$(PY) -m benchmarks.extraction $(if $(N),--n $(N)) $(ARGS)

.PHONY: check-ocr
check-ocr: dev ocr ## Recognise scanned pages, and print the time and memory of one: a minute
	DOCWELL_CHECK_OCR=1 $(PY) -m pytest -q --log-cli-level=INFO --log-disable=httpx tests/integration/test_ocr_reader.py tests/integration/test_scanned_documents.py

.PHONY: dashboards
dashboards: dev ## Write the dashboards, saved queries and alert rules again
	$(PY) -m infra.dashboards

.PHONY: redrive
redrive: local ## List dead letters and send them to ingest again; ARGS=--dry-run
	.venv/bin/docwell redrive $(ARGS)

.PHONY: container
container: dev embedder ## Check template, images and functions under SAM; needs Docker
	$(PY) -m infra.container
	DOCWELL_CONTAINER=1 $(PY) -m pytest -q tests/container

.PHONY: infra
infra: dev embedder programs ## Check the templates without an AWS account
	$(PY) -m infra.checks
	$(PY) -m pytest $(SIDE_BY_SIDE) -q tests/unit/infra tests/integration/test_infra_*.py

.PHONY: rehearse
rehearse: dev ## Rehearse each failure of a deployment in each profile, one line each, without an AWS account
	$(PY) -m pytest -v --no-header tests/unit/infra/test_failures.py $(ARGS)

.PHONY: kubernetes
kubernetes: dev ## Check the Helm chart without a cluster; ARGS=--write writes its snapshots first
	$(PY) -m infra.kubernetes $(ARGS)
	$(PY) -m pytest $(SIDE_BY_SIDE) -q tests/kubernetes

.PHONY: deploy
deploy: dev embedder ## Build, show what changes, and deploy to AWS; PROFILE=small|team|large, POSTPONE=1 keeps machine images
	$(PY) -m infra.release deploy --profile $(or $(PROFILE),team) --options="$(ARGS)"

.PHONY: costs
costs: dev ## Print what a month without questions costs, of the templates and the price file; ARGS="PROFILE NAME=VALUE"
	$(PY) scripts/costs $(ARGS)

.PHONY: restore
restore: dev embedder ## Put a copy of a lost part in place and deploy: WHAT=zone|stack|ledger|principals|usage|audit PROFILE=large AT=TIME
	$(PY) -m infra.release restore --what $(or $(WHAT),zone) --profile $(or $(PROFILE),team) $(if $(AT),--at $(AT)) --options="$(ARGS)"

.PHONY: rotate
rotate: dev ## Replace the token and the certificate of Chroma and Ollama in 18 minutes; PROFILE=small|team|large
	$(PY) -m infra.release rotate --profile $(or $(PROFILE),team)

.PHONY: pin
pin: dev ## Write the digests of the images; ARGS="--region R" the machine images too
	$(PY) -m infra.release pin $(ARGS)

.PHONY: sbom notice audit
sbom: dev ## Write a bill of materials (CycloneDX) for each lock of a deployment
	$(PY) -m infra.release sbom
notice: dev ## Write NOTICE again
	$(PY) -m infra.release notice
audit: dev ## Look for known vulnerabilities in the locks of what ships; needs the internet
	$(PY) -m infra.release audit

.PHONY: release
release: dev embedder ## Build what CI deploys, after make container; refuses images without a digest
	scripts/release

.PHONY: nightly
nightly: dev embedder ## Run every long form, go on after a failure, and print one table; ARGS="--short NAME" for less
	$(PY) -m benchmarks.nightly $(ARGS)

.PHONY: bench
bench: dev embedder ## Measure speed and memory; ARGS=--short for a try, or bench-NAME for one
	$(PY) -m benchmarks.speed $(ARGS)

BENCHES := bench-encode bench-coldstart bench-query bench-scale bench-find bench-memory bench-ingest
.PHONY: $(BENCHES)
$(BENCHES): bench-%: dev embedder
	$(PY) -m benchmarks.speed $* $(ARGS)

.PHONY: bench-stream
bench-stream: bench-query ## Measure the first token of a stream whose model host answers at once

.PHONY: bench-compare
bench-compare: dev embedder ## Measure questions and ingest beside another commit, in pairs; ARGS="--base COMMIT --short"
	$(PY) -m benchmarks.compare $(ARGS)

.PHONY: scale-out
scale-out: dev embedder ## Index with 1, 2 and 4 workers of runtime/: 7 minutes, ARGS=--short 1
	$(PY) -m benchmarks.scale_out $(ARGS)

.PHONY: examples
examples: dev ## Make the example documents again
	$(PY) examples/make_examples.py
	$(PY) examples/make_formats.py

.PHONY: picture
picture: local ## Record docs/terminal.svg on the stack of make up
	$(PY) scripts/picture.py docs/terminal.svg

.PHONY: screenshots
screenshots: dev ## Take docs/console.png on the stack of make up, whose model answers
	@scripts/install-programs chromium
	$(PY) scripts/screenshots.py docs/console.png

.PHONY: lock
lock: dev ## Write the locks with hashes again; ARGS=--upgrade takes new versions
	scripts/lock $(ARGS)

.PHONY: clean clean-data
clean: ## Remove reports and built files
	rm -rf build .venv-* layers/embedder/model .aws-sam .coverage* .pytest_cache .mypy_cache .ruff_cache
clean-data: ## Stop the local stack and delete its documents, after a question; CONFIRM=1 asks nothing
	@[ -n "$(CONFIRM)" ] || { read -rp "Delete every document in .docwell? [y/N] " answer && [ "$$answer" = y ]; }
	if [ -x $(PY) ]; then $(PY) -m infra.local down || true; fi
	rm -rf .docwell

# --- requirements of the targets above; each is quick when there is nothing to do ---

.PHONY: local dev embedder ocr programs
local:
	@scripts/setup local
dev:
	@scripts/setup dev
embedder:
	@$(PY) layers/embedder/build_model.py
# Tests of what cannot be installed here are skipped, and say so. In CI that is an error.
programs:
	@scripts/install-programs nginx prometheus || [ -z "$(CI)" ]
ocr: local ## Install OCR for scanned pages
	@.venv/bin/uv pip install --quiet --python $(PY) --require-hashes --no-build -r functions/ingest/requirements-ocr.txt
