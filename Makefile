# The course in a few words: `make course` to read it, `make test` to check it, `make help` for the rest.

PYTHON ?= python3
BIN := .venv/bin
NB ?=

.DEFAULT_GOAL := help
.PHONY: help setup course tour test test-all test-real test-online lint readme execute tidy bench-keras clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | \
		awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: ## create .venv and install the course in it (instant the second time)
	@$(PYTHON) tools/install.py

course: tour ## set up, play the tour in this terminal, open the course in JupyterLab
	@$(BIN)/course lab

tour: setup ## set up and play the two-minute tour in this terminal
	@$(BIN)/course tour

test: setup ## export, style, every notebook, every quick test
	@$(BIN)/python tools/tasks.py test

test-all: setup ## the same with the long tests
	@$(BIN)/python tools/tasks.py test-all

test-real: setup ## what measures on real data (COURSE_DATA names the folder)
	@$(BIN)/python tools/tasks.py test-real

test-online: setup ## the notebooks on the real Hub: needs a network
	@$(BIN)/python tools/tasks.py test-online

lint: setup ## ruff over modules, tests and notebooks
	@$(BIN)/ruff check .

readme: setup ## README.md from nbs/index.ipynb
	@$(BIN)/python tools/readme.py

execute: setup ## run notebooks and store their outputs (NB="name ..." for a few of them)
	@$(BIN)/python tools/tasks.py execute $(NB)

tidy: setup ## strip notebooks of what only their last run left behind (NB as above)
	@$(BIN)/python tools/tasks.py tidy $(NB)

bench-keras: setup ## course_lib.tf against PyTorch and keras-hub, about 12 minutes on a quiet machine
	@$(BIN)/python benchmarks/keras_models.py --setup-keras-hub
	@$(BIN)/python benchmarks/keras_models.py --write

clean: ## remove caches and builds; .venv and your notebooks stay
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis nbs/_proc
	@find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
	@find . -path ./.venv -prune -o -name .ipynb_checkpoints -type d -print0 | xargs -0 rm -rf
