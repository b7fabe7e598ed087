# The workshop's doors: each target is one line of what it does; longer shell stands in .ci/.
.DEFAULT_GOAL := help
.PHONY: help setup run seed lists prove cluster capacity bench test quick lint docs pictures bill licences audit lock develop packages binary trial release
MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python
# The tests start our program some thousand times; where Python keeps no bytecode, each start would compile all of it.
unexport PYTHONDONTWRITEBYTECODE
# Two processes share the tests out by file, each with servers of its own; a third saves a tenth of the time, and makes
# two cores so busy that time limits are met by chance.
# CPython 3.11 sometimes cannot parse what pytest would quote of a failure, which ends a process: so tracebacks are plain.
SHARED := -n 2 --dist loadfile --tb=native --durations=12 --durations-min=5

help:  ## Show this list.
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: .venv/installed  ## Make .venv from the hash-pinned lock.
	@echo ".venv is ready."

run: .venv/installed  ## Start a server to try things out: embedded store, WeChat simulator. ARGS="--port 9000" passes options on.
	@$(PYTHON) server.py serve --dev $(ARGS)

seed: .venv/installed-dev  ## Fill empty stores with a million sessions of 400,000 people. Takes the settings of serve; ARGS="--sessions 1000".
	@PYTHONPATH=. $(PYTHON) benchmarks/seed.py $(ARGS)

lists: .venv/installed-dev  ## Measure the dashboard's lists on stores that seed filled. ARGS="--own 1G" fills its own.
	@PYTHONPATH=. $(PYTHON) benchmarks/lists.py $(ARGS)

prove: packages .venv/installed-dev  ## Show goals D1 to D27 on real servers and write docs/proof.md. ARGS="D2 D11" chooses.
	@PYTHONPATH=. $(PYTHON) -m benchmarks.prove $(ARGS)

cluster: packages .venv/installed-dev  ## Kill masters of a watched Redis and of a Redis Cluster under load, and write the figures into docs/growing.md.
	@PYTHONPATH=. $(PYTHON) benchmarks/cluster.py $(ARGS)

capacity: packages .venv/installed-dev  ## Measure what people and sessions cost, and write the table of docs/growing.md.
	@PYTHONPATH=. $(PYTHON) benchmarks/capacity.py $(ARGS)

bench: .venv/installed-dev  ## Measure Menshen beside Fastify, Express, PHP and plain Tornado, and write docs/performance.md.
	@.ci/bench
	@PYTHONPATH=. $(PYTHON) -m benchmarks.bench $(ARGS)

test: packages .venv/installed-dev  ## Install what the tests need, then run the whole suite. ARGS="-k name" narrows it.
	@$(PYTHON) -m pytest $(SHARED) $(ARGS)

quick: .venv/installed-dev  ## Run the everyday part of the suite, about a minute.
	@$(PYTHON) -m pytest $(SHARED) -m quick $(ARGS)

lint: .venv/installed-dev  ## Judge style and types of everything.
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --check --quiet .
	@$(PYTHON) -m mypy --strict .

docs: .venv/installed  ## Write docs/settings.md anew from the table of settings.
	@PYTHONPATH=. $(PYTHON) tests/settings_page.py > docs/settings.md.new
	@mv docs/settings.md.new docs/settings.md

pictures: packages .venv/installed-dev  ## Take the pictures of docs/operators.md anew.
	@PYTHONPATH=. $(PYTHON) tests/pictures.py

bill: .venv/installed  ## Print the bill of materials (CycloneDX JSON) of what the product runs on.
	@PYTHONPATH=. $(PYTHON) tests/supply.py bill

licences: .venv/installed  ## Write docs/licences.md anew from what is installed.
	@PYTHONPATH=. $(PYTHON) tests/supply.py licences

audit: .venv/installed-dev  ## Ask whether any package is known to be vulnerable; fails when nobody can be asked. ARGS=--offline.
	@.ci/audit $(ARGS)

lock: .venv/installed  ## Resolve requirements*.in anew into the hash-pinned locks.
	@.ci/lock

binary: .venv/installed  ## Make dist/menshen, the program as one file, with its checksum and its bill of materials.
	@.ci/binary

trial: packages .venv/installed-dev  ## Try dist/menshen: every command, in an empty root, on a bare Debian, as an image, under a supervisor.
	@.ci/trial $(ARGS)

release: binary trial  ## Make all that a release consists of in dist/: file, checksum, bill of materials, notes.
	@.ci/release

develop: .venv/installed-dev  ## Make .venv with what the tests and the linters need.

packages:
	@.ci/packages

.venv/installed: requirements.lock
	@.ci/venv requirements.lock $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	@.ci/venv requirements-dev.lock $@
