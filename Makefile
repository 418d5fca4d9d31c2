# Every target sets itself up: a virtual environment and a pip cache inside the checkout, nothing outside it.
PYTHON ?= python3
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export ORT_DISABLE_TELEMETRY := 1
BIN := .venv/bin

.PHONY: help venv venv-models lock demo test test-models torture check build docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/'

venv: .venv/.ready ## everything but the models extra, in .venv
.venv/.ready: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import ensurepip, sys; assert (3, 10) <= sys.version_info < (3, 14)' || { \
	  echo "make: needs Python 3.10 to 3.13 with venv (on Debian or Ubuntu: apt install python3-venv), or say PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	"$(BIN)/python" -m pip install --quiet --require-hashes -r requirements.lock
	"$(BIN)/python" -m pip install --quiet -e '.[host,station,upload,modelkit,dev]'
	@touch $@

venv-models: .venv-models/.ready ## .venv with the models extra (torch, ultralytics: about 6 GB), in .venv-models
.venv-models/.ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv --clear .venv-models
	".venv-models/bin/python" -m pip install --quiet --require-hashes -r requirements.lock
	".venv-models/bin/python" -m pip install --quiet -e '.[host,station,upload,models,dev]'
	@touch $@

lock: .venv/.ready ## resolve the device requirements again
	"$(BIN)/uv" pip compile pyproject.toml --universal --python-version 3.10 --generate-hashes --no-annotate --no-header --quiet --upgrade -o requirements.lock

demo: venv ## everything, end to end: images in, verdicts out over MQTT
	@"$(BIN)/python" -m edgehost.demo $(ARGS)

test: venv ## every test but those that need the models extra
	"$(BIN)/python" -m pytest -m "not models" $(ARGS)

test-models: venv-models ## the tests against Ultralytics
	".venv-models/bin/python" -m pytest -m models $(ARGS)

torture: venv ## faults injected into the real component, loss counted; MINUTES=30: the long run, PROFILE=lite: on Greengrass Lite, SEED=N repeats one
	@PYTHONPATH=src:tests "$(BIN)/python" -m torture --minutes $(or $(MINUTES),2) --profile $(or $(PROFILE),classic) $(if $(SEED),--seed $(SEED))

check: venv ## lint, format, types, import rules, generated documentation
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check --quiet .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports"
	"$(BIN)/python" tools/reference.py --check

build: ## both components under greengrass-build/; WHEELHOUSE=1: with the wheels, to install without a network
	$(PYTHON) tools/build.py --output greengrass-build $(if $(WHEELHOUSE),--wheelhouse)

docs: venv ## write the generated documentation
	"$(BIN)/python" tools/reference.py

clean: ## remove what the targets made, the environments excepted
	rm -rf greengrass-build models/greengrass-build .demo .demo-lite
