# Every command of the course. "make help" lists them; README.md gives the plain commands behind.

PYTHON ?= python3
VENV ?= .venv
SERVER ?=
BEFORE_02 := step01_echo_socket
BEFORE_03 := step02_http_server
BEFORE_04 := step03_wsgi
BEFORE_05 := step04_fork
BEFORE_06 := step05_zombies
PYTEST = $(VENV)/bin/python -m pytest $(if $(SERVER),--server '$(SERVER)')
# four tests at a time: most of them wait for something
SEVERAL = -n 4 --dist worksteal
PROGRESS = $(VENV)/bin/python tests/progress.py $(if $(SERVER),--server '$(SERVER)')

.PHONY: help start check progress test lab diff notebooks notebooks-write lint format prose
.PHONY: pictures bench bench-quick clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

start: $(VENV)/tests-installed ## begin a step: STEP=04 copies step 3 into mine/, for you to change
	@$(PROGRESS) $(call one,$(STEP)) --start

check: $(VENV)/tests-installed ## test mine/server.py: STEP=04 shows what works, and what to do next
	@$(PROGRESS) $(call one,$(STEP))

progress: $(VENV)/tests-installed ## test mine/server.py with the tests of all steps, a line for each
	@$(PROGRESS)

test: $(VENV)/tests-installed ## run all tests; STEP=04 for one step, SERVER=mine/server.py for your own
	$(PYTEST) $(if $(STEP),$(call one,$(wildcard tests/test_step$(STEP)_*.py)),$(SEVERAL))

lab: $(VENV)/lab-installed ## open the notebooks in JupyterLab
	$(VENV)/bin/jupyter lab --notebook-dir=notebooks

diff: ## show what a step changes: STEP=04 compares step 3 and step 4
	@diff -ru -x __pycache__ -x 'README*.md' $(call one,$(BEFORE_$(STEP))) $(wildcard step$(STEP)_*) || test $$? -eq 1

lint: $(VENV)/tests-installed ## check the style of all Python files
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

format: $(VENV)/tests-installed ## lay all Python files out in the common style
	$(VENV)/bin/ruff format

notebooks: $(VENV)/lab-installed ## run all notebooks, and compare what they show with what is stored
	$(VENV)/bin/python notebooks/check.py

notebooks-write: $(VENV)/lab-installed ## run all notebooks, and store what has changed
	$(VENV)/bin/python notebooks/check.py --write

prose: $(VENV)/tests-installed ## write the diffs and mistakes that the READMEs quote
	$(VENV)/bin/python tests/prose.py
	$(VENV)/bin/python benchmarks/report.py

bench: $(VENV)/bench-installed ## measure all servers for a quarter of an hour; PART=growth for one part
	$(VENV)/bin/python benchmarks/compare.py $(PART)
	$(VENV)/bin/python benchmarks/report.py

bench-quick: $(VENV)/bench-installed ## the same in a minute and a half; no stored result changes
	$(VENV)/bin/python benchmarks/compare.py --quick $(PART)

pictures: $(VENV)/tests-installed ## take the pictures of the process page that README.md shows
	$(VENV)/bin/python pictures/take.py

clean: ## remove the virtual environment
	rm -rf $(VENV)

one = $(or $(1),$(error There is no such step, or none before it: write STEP=04, for example))

$(VENV)/tests-installed: requirements.txt
	$(call install,requirements.txt)
	touch $@

$(VENV)/lab-installed: $(VENV)/tests-installed notebooks/requirements.txt
	$(call install,notebooks/requirements.txt)
	touch $@

$(VENV)/bench-installed: $(VENV)/tests-installed benchmarks/requirements.txt
	$(call install,benchmarks/requirements.txt)
	touch $@

define install
	if command -v uv >/dev/null; then \
		test -d $(VENV) || uv venv --quiet --python $(PYTHON) $(VENV); \
		uv pip install --quiet --python $(VENV)/bin/python -r $(1); \
	else \
		test -d $(VENV) || $(PYTHON) -m venv $(VENV); \
		$(VENV)/bin/python -m pip install --quiet -r $(1); \
	fi
endef
