# Every target that works on the platform prepares the clone first, which takes no time once that is done.
python := PYTHONPATH=src .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup demo up down run status logs traces backup restore test check bench audit format lock images test-images conformance soak load fuzz

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## install what this clone needs: Debian packages, Python environments
	@local/setup

demo: setup ## start the platform and convert a video from upload to MP3 and mail
	@$(python) -m local demo

up: setup ## start the platform in the background
	@$(python) -m local up

down: ## end the platform
	@if [ -x .venv/bin/python ]; then $(python) -m local down; fi

run: setup ## run the platform in the foreground, until Ctrl-C
	@$(python) -m local run

status: setup ## show services, replicas, queues and jobs
	@$(python) -m local status

logs: setup ## follow all logs
	@$(python) -m local logs

traces: setup ## receive spans and show each job's trace as a tree (docs/operations.md)
	@$(python) -m local traces

backup: setup ## copy all stores and keys: make backup TO=a-new-directory
	@$(python) -m local backup "$(TO)"

restore: setup ## start a new platform with what a backup has: make restore FROM=directory
	@$(python) -m local restore "$(FROM)"

test: check ## check, then run all tests on real servers
	@local/setup tests
	@# Each worker starts its own servers, at most four of each.
	.venv/bin/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

images: setup ## build the functions' images with buildah, podman or docker
	@local/images

test-images: setup ## build the images on this Debian (as root), and test them
	@tests/images/setup
	.venv/bin/python -m pytest tests/images

check: setup ## lint, layout and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy src local tests bench
	@# One after another: each function has its own module main.
	for function in functions/*/; do .venv/bin/mypy $$function || exit 1; done
	PATH="$$PWD/.venv/bin:$$PATH" npm --prefix web run --silent check

conformance: setup ## run the eventing scenarios on local, and on Knative's own programs where they can be had
	@tests/conformance/run

soak: setup ## break things for some minutes while videos are uploaded, and audit what came of it (SEED, UPLOADS, MINUTES, PAUSE)
	@local/setup tests
	PYTHONPATH=src:functions/upload:functions/convert .venv/bin/python -m tests.faults.soak \
		$(if $(SEED),--seed $(SEED)) --uploads $(or $(UPLOADS),60) --minutes $(or $(MINUTES),5) \
		--pause $(or $(PAUSE),2.5)

fuzz: setup ## try hostile input for an hour or so, other than the last time
	@local/setup tests
	.venv/bin/python -m pytest tests/hostile --hypothesis-profile=fuzz --timeout=0

load: setup ## measure what hundreds of clients at once get and take, slow ones among them (CLIENTS, SLOW)
	@local/setup tests
	PYTHONPATH=src:functions/convert .venv/bin/python -m bench.load --clients $(or $(CLIENTS),200) --slow $(or $(SLOW),100)

bench: setup ## measure speed and memory, with nothing else running
	@for name in upload platform cold_start convert segments login; do PYTHONPATH=src:functions/convert:functions/auth .venv/bin/python -m bench.$$name || exit 1; done

audit: setup ## look for known holes in all requirements (asks the registries of PyPI and npm)
	for name in auth upload convert notify local build dev; do .venv/bin/uvx pip-audit==2.10.1 --strict --disable-pip -r requirements/$$name.txt || exit 1; done
	PATH="$$PWD/.venv/bin:$$PATH" npm --prefix web audit

format: setup ## lay out the code
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

lock: setup ## pin the newest versions of all requirements, with hashes
	@for name in dev local build auth upload convert notify media; do \
		if [ $$name != dev ]; then constraint="--constraint requirements/dev.txt"; fi; \
		if [ $$name = media ]; then constraint=; fi; \
		UV_CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/uv pip compile --quiet --upgrade --generate-hashes \
			--no-emit-index-url --no-annotate --python-version 3.11 $$constraint \
			requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done
