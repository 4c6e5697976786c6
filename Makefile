# Every command of the course. "make help" lists them; README.md gives the plain commands behind.

PYTHON ?= python3
VENV ?= .venv
SERVER ?=
REPLAY ?=
BEFORE_02 := step01_echo_socket
BEFORE_03 := step02_http_server
BEFORE_04 := step03_wsgi
BEFORE_05 := step04_fork
BEFORE_06 := step05_zombies
# A stage comes after the one before, and stage 5 is the step itself.
STAGE_BEFORE_2 := stages/stage1
STAGE_BEFORE_3 := stages/stage2
STAGE_BEFORE_4 := stages/stage3
STAGE_BEFORE_5 := stages/stage4
FOLDER = $(wildcard step$(STEP)_*$(if $(STAGE:5=),/stages/stage$(STAGE)))
FOLDER_BEFORE = $(if $(STAGE:1=),$(wildcard step$(STEP)_*/$(STAGE_BEFORE_$(STAGE))),$(BEFORE_$(STEP)))
PYTEST = $(VENV)/bin/python -m pytest $(if $(SERVER),--server '$(SERVER)')
# four tests at a time: most of them wait for something
SEVERAL = -n 4 --dist worksteal
PROGRESS = $(VENV)/bin/python -m course.progress $(if $(SERVER),--server '$(SERVER)')
AT_STAGE = $(if $(STAGE),--stage '$(STAGE)')
# A .venv of another Python stays, unless PYTHON= names one.
INSTALL = $(PYTHON) -m course.install --venv $(VENV) $(if $(filter file,$(origin PYTHON)),,--named)
FOR_LEARNERS = requirements.txt
FOR_LAB = $(FOR_LEARNERS) notebooks/requirements.txt
FOR_BENCH = $(FOR_LEARNERS) benchmarks/requirements.txt
FOR_BOOK = $(FOR_LEARNERS) book/requirements.txt
FOR_COURSE = $(FOR_LEARNERS) course/requirements.txt
FOR_CHECKS = $(FOR_LAB) benchmarks/requirements.txt book/requirements.txt course/requirements.txt

.PHONY: help doctor setup start mine check watch exercise progress test arena lab lab-fresh diff
.PHONY: verify lint format checks notebooks notebooks-clean notebooks-write prose chinese bench bench-quick
.PHONY: catalog pictures book book-open clean

help: ## list these commands
	@$(PYTHON) -m course.commands

doctor: ## look whether this machine has what the course needs
	@$(PYTHON) -m course.doctor

setup: ## make .venv, or fix it, and install what the tests need; the others do so, too
	@$(INSTALL) $(FOR_LEARNERS)

start: setup ## begin a step: STEP=04 copies step 3 into mine/; STEP=02 STAGE=3 begins a stage
	@$(PROGRESS) $(STEP_GIVEN) $(AT_STAGE) --start

mine: setup ## break a step: STEP=04 copies step 4 itself into mine/; STAGE=3 a stage
	@$(PROGRESS) $(STEP_GIVEN) $(AT_STAGE) --copy

check: setup ## test mine/server.py: STEP=04 shows what works, and what to do next; STAGE=3, too
	@$(PROGRESS) $(STEP_GIVEN) $(AT_STAGE)

watch: setup ## check STEP=04 again at each save, until Ctrl-C; STAGE=3, too
	@$(PROGRESS) $(STEP_GIVEN) $(AT_STAGE) --watch

exercise: setup ## test an exercise in mine/: STEP=04 N=2
	@$(PROGRESS) $(STEP_GIVEN) --exercise '$(N)'

progress: setup ## test mine/server.py with the tests of all steps, a line for each
	@$(PROGRESS)

test: setup ## test all steps; STEP=04 tests one, SERVER=mine/server.py your own
	$(PYTEST) $(if $(STEP),$(call one,$(wildcard tests/test_step$(STEP)_*.py)),tests $(SEVERAL))

arena: setup ## see all servers side by side; SERVER=mine/server.py, too; REPLAY=file: a recording
	@$(VENV)/bin/python -m arena $(if $(SERVER),--server '$(SERVER)') $(if $(REPLAY),--replay '$(REPLAY)')

lab: ## open the notebooks in JupyterLab: copies of your own in mine-notebooks/, without outputs
	@$(INSTALL) $(FOR_LAB)
	$(VENV)/bin/python -m course.lab

lab-fresh: ## the same with new copies; those of before get a dated name
	@$(INSTALL) $(FOR_LAB)
	$(VENV)/bin/python -m course.lab --fresh

diff: ## show what a step changes: STEP=04 compares step 3 and step 4; STEP=02 STAGE=3 two stages
	@diff -ru --unidirectional-new-file -x __pycache__ -x stages -x '*.md' \
		$(call one,$(FOLDER_BEFORE)) $(call one,$(FOLDER)) || test $$? -eq 1

verify: ## run everything that CI runs, and show how long each part took
	@$(PYTHON) -m course.verify

lint: ## check the style of all Python files
	@$(INSTALL) $(FOR_COURSE)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

format: ## lay all Python files out in the common style
	@$(INSTALL) $(FOR_COURSE)
	$(VENV)/bin/ruff format

# A check may run all tests of a step: on a busy machine they take longer than one test may.
checks: ## run the checks that keep the course true
	@$(INSTALL) $(FOR_CHECKS)
	$(PYTEST) course/checks -rfEs $(SEVERAL) --timeout 400

notebooks: ## run all notebooks, and compare what they show with what is stored
	@$(INSTALL) $(FOR_LAB)
	$(VENV)/bin/python -m course.notebooks

notebooks-clean: ## drop what an editor has stored in the notebooks: counters, times, its name
	@$(INSTALL) $(FOR_LAB)
	$(VENV)/bin/python -m course.notebooks --clean

notebooks-write: ## run all notebooks, and store what has changed
	@$(INSTALL) $(FOR_LAB)
	$(VENV)/bin/python -m course.notebooks --write

prose: setup ## write the diffs, mistakes and numbers that pages quote, and links of Chinese pages
	$(VENV)/bin/python -m course.prose
	$(VENV)/bin/python -m benchmarks.report

chinese: setup ## list what has changed in English since its Chinese was read; READ=page marks it
	@$(VENV)/bin/python -m course.chinese $(READ)

catalog: ## bring the Chinese of make check up to date: its messages, and what is compiled of them
	@$(INSTALL) $(FOR_COURSE)
	$(VENV)/bin/python -m course.catalog

bench: ## measure all servers for a quarter of an hour; PART=growth for one part
	@$(INSTALL) $(FOR_BENCH)
	$(VENV)/bin/python -m benchmarks.compare $(PART)
	$(VENV)/bin/python -m benchmarks.report

bench-quick: ## the same in a minute and a half; no stored result changes
	@$(INSTALL) $(FOR_BENCH)
	$(VENV)/bin/python -m benchmarks.compare --quick $(PART)

pictures: ## play the ten seconds again that README.md shows, and take their picture
	@$(INSTALL) $(FOR_COURSE)
	$(VENV)/bin/python -m arena.record --picture arena/pictures/arena.png

book: ## make a site of the lessons, notebooks and diffs, in English and Chinese
	@$(INSTALL) $(FOR_BOOK)
	$(VENV)/bin/python -m book

book-open: ## the same, and show it in a browser
	@$(INSTALL) $(FOR_BOOK)
	$(VENV)/bin/python -m book --open

clean: ## remove the virtual environment
	rm -rf $(VENV)

# Set if the learner reads Chinese, by the rule of course/language.py: LANGUAGE may be a list.
LANGUAGES = $(subst :, ,$(firstword $(LANGUAGE) $(LC_ALL) $(LC_MESSAGES) $(LANG)))
CHINESE = $(filter zh%,$(firstword $(filter en% zh%,$(LANGUAGES))))
EXAMPLE = make $@ STEP=04$(if $(filter exercise,$@), N=1)
WHICH_STEP = $(if $(CHINESE),要指明是哪一步：$(EXAMPLE),Which step? Name it: $(EXAMPLE))
STEP_GIVEN = $(or $(STEP),$(error $(WHICH_STEP)))
NO_SUCH_STEP = There is no such step or stage, or none before it: STEP=04, or STEP=02 STAGE=3, is one
NO_SUCH_STEP_ZH = 没有这一步或这个阶段，或者前面没有可比的；写成 STEP=04，或者 STEP=02 STAGE=3
one = $(or $(1),$(error $(if $(CHINESE),$(NO_SUCH_STEP_ZH),$(NO_SUCH_STEP))))
