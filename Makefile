# make help lists what can be made. Everything lives in .venv and .tidemill; Kafka alone is kept in ~/.cache/tidemill, for other checkouts.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format protos bench bench-inference chaos clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Tidemill needs Python 3.11 or later; set PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[inference,training,local,dev]'
	touch $@

setup: $(VENV)/.done  ## install everything into .venv (about a minute)

demo: setup  ## run the main job: events in, answers out, feedback back in (ONCE=1: end by itself with a summary)
	tidemill demo $(if $(ONCE),--once)

test: setup  ## every test, on real Kafka, PostgreSQL and Valkey
	python -m pytest $(ARGS)

check: setup  ## lint, types, import contracts, house rules, manifests
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo
	python -m pytest -q tests/house tests/deploy

format: setup  ## format the code
	ruff check --fix .
	ruff format .

bench: setup  ## throughput of the whole stack against a bare loop in the same run
	python -m bench.stack

bench-inference: setup  ## the inference service against the bare model, all scenarios (QUICK=1: in a minute or two, SEED=...)
	python -m bench.inference $(if $(QUICK),--quick) $(if $(SEED),--seed $(SEED))

chaos: setup  ## kill -9 at random under load (EVENTS=5000 KILLS=100 SEED=...)
	python -m bench.chaos --events $(or $(EVENTS),5000) --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED))

protos: setup  ## generate protos/*_pb2* from protos/*.proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. protos/*.proto

clean:  ## remove .venv and the local stack's data
	rm -rf $(VENV) .tidemill
