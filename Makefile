# Everything that a developer runs, for GNU make 3.81 and newer. "make" alone lists it.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# The newest Python from 3.11 up that can make a virtual environment, else the newest one.
find_python = for needs in 'import ensurepip, sys' 'import sys'; do \
	for python in python3.13 python3.12 python3.11 python3; do \
		"$$python" -c "$$needs; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo "$$python" && exit 0; \
	done; done
root_on_debian = [ "$$(id -u)" = 0 ] && [ -f /etc/debian_version ] && command -v apt-get >/dev/null
apt_install = apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends

PYTHON ?= $(eval PYTHON := $(shell $(find_python)))$(PYTHON)
ARGS ?=
BUDGET ?= 600
PART ?=
SEED ?=

.PHONY: help run test lint coverage bench campaign supply docs lock clean peers

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  ARGS=... is handed on; PYTHON=... chooses the interpreter for $(VENV)"

run: $(VENV)/.ready ## protect this machine's models, or a practice store where there are none, until Ctrl-C
	@$(BIN)/modelward run --practice practice $(ARGS); exec $(BIN)/modelward guard --practice practice $(ARGS)

test: $(VENV)/.ready peers ## run the tests
	@$(BIN)/python -m pytest -n auto -m "not campaign" $(ARGS)

lint: $(VENV)/.ready ## check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

coverage: $(VENV)/.ready peers ## run the tests and measure the branches that they take: 90 % of all, and all of the heart
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n auto -m "not campaign" $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/python -m scripts.coverage_floor

bench: $(VENV)/.ready ## measure speed beside the peers that are installed
	@$(BIN)/python -m benchmarks $(ARGS)

campaign: $(VENV)/.ready ## run the slow tests for BUDGET seconds, or one PART of the campaign (SEED=... repeats)
	@MODELWARD_CAMPAIGN_BUDGET="$(BUDGET)" MODELWARD_CAMPAIGN_PART="$(PART)" MODELWARD_CAMPAIGN_SEED="$(SEED)" \
		$(BIN)/python -m pytest -s -m campaign $(if $(PART),tests/campaign/test_$(PART).py) $(ARGS)

supply: $(VENV)/.ready ## check pins and advisories, build twice and compare, make dist/ (ARGS=--offline asks nobody)
	@$(BIN)/python -m scripts.supply $(ARGS)

docs: $(VENV)/.ready ## write what docs/ and deploy/ say of the program from the program
	@for page in reference settings forecasts api_reference picture; do $(BIN)/python -m scripts.$$page || exit 1; done

lock: $(VENV)/.ready ## resolve requirements/*.in again (ARGS=--upgrade for newer versions)
	@$(LOCK) $(ARGS) requirements/run.in --output-file requirements/run.txt
	@$(LOCK) $(ARGS) --constraint requirements/run.txt requirements/dev.in --output-file requirements/dev.txt

clean: ## remove the virtual environment and everything that tools left
	@rm -rf $(VENV) build dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A new lock makes a new environment, so that what left the lock is gone from it as well. The lock is whole, so
# pip has nothing to resolve: left to, it looks at newer versions of what carries extras, and finds no hash for them.
$(VENV)/.packages: requirements/dev.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Python 3.11 or newer is needed: install one, or name it: make PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) and installing the locked packages (once)"
	@"$(PYTHON)" -m venv --clear $(VENV) >/dev/null 2>&1 \
		|| { $(root_on_debian) && { $(apt_install) python3-venv; } >/dev/null && "$(PYTHON)" -m venv --clear $(VENV); } \
		|| { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module" \
			"(Debian and Ubuntu: apt-get install python3-venv), or name another one: make PYTHON=..." >&2; exit 1; }
	@$(PIP) install --no-deps --require-hashes --requirement requirements/dev.txt
	@touch $@

$(VENV)/.ready: $(VENV)/.packages pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Programs that some tests need beside ours; without them those tests are skipped and say why.
peers:
	@missing=; for pair in skopeo:skopeo docker-registry:docker-registry mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs \
		chromium:chromium promtool:prometheus shellcheck:shellcheck strace:strace ip:iproute2; do \
		command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair#*:}"; done; \
	if [ -n "$$missing" ] && $(root_on_debian); then \
		echo "Installing what some tests need:$$missing"; \
		{ $(apt_install) $$missing; } >/dev/null || echo "That failed; the tests that need$$missing are skipped."; \
	fi
