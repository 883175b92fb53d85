# The doors of this repository: `make help` lists them, and CI calls the same ones.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PY := .venv/bin/python
MODEL ?= sentence-transformers/all-MiniLM-L6-v2
LLM ?= qwen2.5-coder:1.5b
# The smallest model that obeys the protocol: tests judge structure and sources, not prose.
TEST_LLM ?= smollm2:135m
# OCR=0 and OCR=off ask for none.
OCR_ON = $(filter 1 yes true rapidocr,$(OCR))

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

.PHONY: demo
demo: local ## Start the local stack, upload the example PDFs, ask, print cited answers, stop
	$(PY) -m infra.local demo --model "$(LLM)"

.PHONY: up
up: local $(if $(OCR_ON),ocr) ## Start the local stack and keep it running (Ctrl-C stops it); OCR=1 reads scans; ARGS="--port 8080"
	$(if $(OCR_ON),DOCWELL_OCR=rapidocr )$(PY) -m infra.local up --model "$(LLM)" $(ARGS)

.PHONY: test
test: dev embedder ## All tests: unit, integration, end to end; reports coverage
	$(PY) -m coverage erase
	$(PY) -m pytest --cov --cov-report= $(ARGS)
	$(PY) -m coverage report

.PHONY: test-unit
test-unit: dev embedder ## Unit tests alone: no network, some seconds
	$(PY) -m pytest -q tests/unit $(ARGS)

.PHONY: pr
pr: lint embedder ## What a commit must pass: format, lint, types, unit tests
	$(PY) -m pytest -q tests/unit

.PHONY: lint
lint: dev ## Format, lint, import contracts and types alone
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports --no-logo
	.venv/bin/mypy

.PHONY: format
format: dev ## Format the code and mend what lint can mend
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.PHONY: model
model: local ## Turn a sentence-transformers model into ONNX: MODEL=id-or-folder
	$(PY) layers/embedder/build_model.py --model "$(MODEL)"

.PHONY: faults
faults: dev ## Prove that faults lose, duplicate and mix no document: 45 minutes, 4 with ARGS=--short
	$(PY) -m benchmarks.faults $(ARGS)

.PHONY: eval-answers
eval-answers: dev embedder ## Ask N (100) questions with an answer and N/2 without, judge each: an hour, N=6 four minutes
	$(PY) -m benchmarks.answers --n $(or $(N),100) $(ARGS)

.PHONY: chaos-query
chaos-query: dev embedder ## Show what a client sees when model host, Chroma or ledger fail: 4 minutes, 1 with ARGS=--short
	$(PY) -m benchmarks.chaos $(ARGS)

.PHONY: hard-pdfs
hard-pdfs: dev ## Read broken and hostile PDFs; ARGS="--folder DIR" or --poison
	$(PY) -m benchmarks.hard_pdfs $(ARGS)

.PHONY: eval-guard
eval-guard: dev embedder ## Count the attacks in documents that are marked, and the harmless texts; ARGS="--stack --n 50" asks
	$(PY) -m benchmarks.guard $(ARGS)

.PHONY: eval-retrieval
eval-retrieval: dev embedder ## Measure which passages questions find: 20 minutes, then 5; N=50; ARGS="--exact --show"
	$(PY) -m benchmarks.retrieval $(if $(N),--n $(N)) $(ARGS)

.PHONY: eval-extraction
eval-extraction: dev ## Compare the reader's text with a human's, beside other libraries: 2 minutes; N=3
	$(PY) -m benchmarks.extraction $(if $(N),--n $(N)) $(ARGS)

.PHONY: bench-gates
bench-gates: dev embedder ## Count the questions that the gates refuse before the model, rightly and wrongly
	$(PY) -m benchmarks.gates

.PHONY: dashboards
dashboards: dev ## Write dashboards and saved queries again (infra/dashboards)
	$(PY) -m infra.dashboards

.PHONY: redrive
redrive: local ## Show what ingest gave up and give it back; ARGS=--dry-run
	.venv/bin/docwell redrive $(ARGS)

.PHONY: container
container: dev embedder ## Template, image and functions under SAM (needs Docker; on Debian as root it is installed)
	$(PY) -m infra.container

.PHONY: invoke-ingest invoke-query invoke-reconcile start-api
invoke-ingest: dev embedder ## Give the built function an event under sam local, on the stack of make up; EVENT=put
	$(PY) -m infra.container.on_stack invoke ingest $(or $(EVENT),put) $(ARGS)
invoke-query: dev embedder ## The same for a question: EVENT=query, stream, health or a file (docs/develop.md)
	$(PY) -m infra.container.on_stack invoke query $(or $(EVENT),query) $(ARGS)
invoke-reconcile: dev embedder ## The same for the schedule
	$(PY) -m infra.container.on_stack invoke reconcile $(or $(EVENT),schedule) $(ARGS)
start-api: dev embedder ## Serve the API under sam local, on the stack of make up; ARGS="--port 3000"
	$(PY) -m infra.container.on_stack start-api $(ARGS)

.PHONY: infra
infra: dev embedder ## Every check of the templates that needs no account: SAM, cfn-lint, checkov, cdk-nag, roles, dashboards
	$(PY) -m infra.checks

.PHONY: bench
bench: dev embedder ## Measure speed, size, memory and cost: an hour, 3 minutes with ARGS=--short; or bench-size, -encode, -coldstart, -stream, -query, -memory, -ingest, -scale, -cost
	$(PY) -m benchmarks.speed $(ARGS)

BENCHES := bench-size bench-encode bench-coldstart bench-stream bench-query bench-memory bench-ingest bench-scale bench-cost
.PHONY: $(BENCHES)
$(BENCHES): bench-%: dev embedder
	$(PY) -m benchmarks.speed $* $(ARGS)

.PHONY: bench-pair
bench-pair: dev embedder ## Compare this tree with another commit, in turns: OLD=commit BENCH=coldstart|query|ingest|memory N=20
	$(PY) -m benchmarks.pair $(OLD) $(if $(BENCH),--bench $(BENCH)) $(if $(N),--n $(N))

.PHONY: bench-long
bench-long: dev embedder ## Index 5,000 pages and 400 MB with functions of 60 s, by one worker and by two
	$(PY) -m benchmarks.long_documents

.PHONY: examples
examples: dev ## Make the example PDFs again
	$(PY) examples/make_examples.py

.PHONY: lock
lock: dev ## Write the hash-pinned locks again; ARGS=--upgrade renews versions
	scripts/lock $(ARGS)

.PHONY: clean
clean: ## Stop the local stack; remove its data, reports and built files
	if [ -x $(PY) ]; then $(PY) -m infra.local down || true; fi
	rm -rf .docwell build .venv-export .venv-infra .venv-peers .venv-sam layers/embedder/model .aws-sam .coverage* .pytest_cache .mypy_cache .ruff_cache

# --- what the doors above need; each is quick when there is nothing to do ---

.PHONY: local dev embedder ocr
local:
	@scripts/setup local
dev:
	@scripts/setup dev
embedder:
	@$(PY) layers/embedder/build_model.py
ocr: local ## Install the recogniser of scanned pages, for DOCWELL_OCR=rapidocr
	@.venv/bin/uv pip install --quiet --python $(PY) --require-hashes -r functions/ingest/requirements-ocr.txt
