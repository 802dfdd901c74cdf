# What people type while they work on wsolbench. `make` lists it.
PYTHON ?= .venv/bin/python

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install:  ## an environment in .venv with everything
	test -x $(PYTHON) || python3 -m venv .venv
	$(PYTHON) -m pip install --editable '.[dev,docs]'

test:  ## the default tests, in two processes
	$(PYTHON) -m pytest -n 2 --dist loadfile

slow:  ## the tests that take minutes
	$(PYTHON) -m pytest -n 2 --dist loadfile -m slow

lint:  ## formatting, lint and types
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

docs:  ## the site, in site/
	$(PYTHON) -m mkdocs build --strict

.PHONY: help install test slow lint docs
