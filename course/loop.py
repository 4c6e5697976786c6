"""Run the tests of steps against a server, milestone by milestone, and show how far it is.

It is what course.progress shows. Behind it is pytest, for which Loop is a plugin.
"""

import contextlib
import io
import math
import os
import shlex
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import pytest

from course.facts import STAGES, file_of_tests, folder_of, headings
from course.facts import section as text_of
from course.language import _, wrap
from tests.harness import CONTRACT, ROOT, STEPS

RUNNABLE = [step for step in STEPS if hasattr(os, "fork") or step < "step04"]
MINE = ROOT / "mine"
MOST_SECONDS = 120  # for the tests of one step
MOST_SECONDS_OF_A_TEST = 30
MOST_SECONDS_RED = 5  # after the first that fails: a server that hangs makes each test wait
MOST_LINES = 14  # of a hint
TRIES = 3  # how many new tests of a step are tried to see whether a server has begun it
NOT_RUN = "not run"
RULE = {"rule", "hint"}  # names of a test's parameter that says why
# Words of the harness that say what has happened, whatever the test is about. The first counts.
NOT_STARTED = [
    "before it printed its first line",
    "but its first line of output did not come",
    "The first line that the server printed is ",
    "The server does not take the argument ",
]
SITUATIONS = [
    *NOT_STARTED,
    "was refused, because nobody listens there.",
    " Its last traceback:",
    " Its last lines on standard error:",
    "No answer came, and the connection stays open.",
    " without an answer",
    "The status line ends with LF alone",
    "No HTTP status line came back",
    "No empty line ends the headers of the response",
    "No HTTP response came back: ",
    "The connection did not end: ",
    "The connection goes on and on: ",
    "The server is still running after ",
    "The server printed no line with ",
    "The server ended during this test.",
    "so it should print no traceback",
    " was sent, and ",
]
GIVEN = {"step03_wsgi": ["app.py", "flask_app.py"]}  # applications, not the server


@dataclass
class Milestone:
    """A milestone of a step, and what came of its tests."""

    number: int
    title: str
    is_armour: bool
    # From the ID of each test to "passed", "failed" or "skipped"; "not run" until it is known.
    results: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self):
        return not self.count("failed") and not self.count(NOT_RUN)

    def count(self, result):
        return [*self.results.values()].count(result)


def milestones_of(module):
    """Return the Milestones of a file of tests. The first ones, up to IDEA, are the step's idea."""
    return [
        Milestone(number, title, number > module.IDEA)
        for number, title in enumerate(module.MILESTONES, 1)
    ]


class Loop:
    """Run the tests of each step in the order of its milestones, as far as these are complete.

    After a test that fails the rest of its milestone is run, and the later ones are not. If the
    first test of all could not start the server, no other is run.
    """

    seconds_red = MOST_SECONDS_RED

    def __init__(self):
        self.milestones = {}  # from a step to the list of its Milestones
        self.tests = {}  # from the ID of a test to its step, its Milestone, and its section
        self.flaws = {}  # from the ID of a test to the last step that it is true of
        self.failures = {}  # from a step to the report of the first test that failed, and when
        self.last = None  # the report of the test that ran last
        self.timer = None

    @pytest.hookimpl(trylast=True)  # the others have chosen tests, and noted what marks say
    def pytest_collection_modifyitems(self, items):
        for item in items:
            step = item.module.STEP
            if step not in self.milestones:
                self.milestones[step] = milestones_of(item.module)
            notes = dict(item.user_properties)
            milestone = self.milestones[step][notes.get("milestone", 1) - 1]
            milestone.results[item.nodeid] = NOT_RUN
            self.tests[item.nodeid] = step, milestone, notes.get("lesson", f"{step}/README.md")
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            item.user_properties += [
                ("rule", parameters[name]) for name in RULE & parameters.keys()
            ]
            if "true until" in notes:
                self.flaws[item.nodeid] = notes["true until"]
        steps = [*self.milestones]
        items.sort(key=lambda item: (steps.index(item.module.STEP), self.number_of(item)))

    def has_idea(self, step):
        """Return whether the idea of a step is complete."""
        milestones = self.milestones.get(step, [])
        return bool(milestones) and all(m.is_complete or m.is_armour for m in milestones)

    def cannot_start(self, step):
        """Return whether the first test that failed could not start the server, and none passed."""
        report, _since = self.failures.get(step, (None, None))
        passed = any(milestone.count("passed") for milestone in self.milestones[step])
        return bool(report) and not passed and situation(message_of(report)) in NOT_STARTED

    def number_of_idea(self, step):
        """Return the number of the milestone that completes the idea, if armour follows it."""
        idea = [m.number for m in self.milestones[step] if not m.is_armour]
        return idea[-1] if len(idea) < len(self.milestones[step]) else None

    def number_of(self, item):
        """Return the number of the milestone of a test, or of a report about it."""
        return self.tests[item.nodeid][1].number

    @pytest.hookimpl(tryfirst=True)  # before any fixture
    def pytest_runtest_setup(self, item):
        report, seconds = self.failures.get(item.module.STEP, (None, math.inf))
        is_late = time.monotonic() > seconds + self.seconds_red
        is_later = report and self.number_of(item) > self.number_of(report)
        if is_late or is_later or self.cannot_start(item.module.STEP):
            pytest.skip(NOT_RUN)

    @pytest.hookimpl(tryfirst=True)  # before pytest shows its own traceback
    def pytest_internalerror(self, excinfo):
        """End at once if nobody reads what is shown, as after: make check STEP=04 | head."""
        if excinfo.errisinstance(BrokenPipeError):
            os._exit(1)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self):
        """Let pytest itself show nothing."""
        return "", "", ""

    def pytest_runtest_logreport(self, report):
        step, milestone, _section = self.tests[report.nodeid]
        self.last = report if report.when == "call" else self.last
        if report.failed:
            milestone.results[report.nodeid] = "failed"
            self.failures.setdefault(step, (report, time.monotonic()))
        elif report.skipped and not str(report.longrepr[2]).endswith(NOT_RUN):
            milestone.results[report.nodeid] = "skipped"
        elif report.when == "call" and report.passed:
            milestone.results[report.nodeid] = "passed"
        if report.when == "teardown":
            self.test_is_over(report.nodeid, step, milestone)

    def test_is_over(self, test, step, milestone):
        """Show what is known by now. (It is for the classes below.)"""

    def pytest_timeout_set_timer(self, item, settings):
        """Say which test takes too long, where that ends all of pytest: on Windows."""
        if settings.method == "thread":
            hint = f"\n{too_slow(item.nodeid, settings.timeout)}\n"
            self.timer = threading.Timer(settings.timeout - 0.5, os.write, [2, hint.encode()])
            self.timer.start()

    def pytest_timeout_cancel_timer(self, item):
        if self.timer:
            self.timer.cancel()


def run(loop, steps, server, *options):
    """Run the tests of steps against a server with a Loop as plugin."""
    files = [str(file_of_tests(step)) for step in steps]
    limits = [f"--timeout={MOST_SECONDS_OF_A_TEST}"]
    limits += [f"--session-timeout={MOST_SECONDS * len(steps)}"]
    options = ["--server", server, "-p", "no:randomly", *limits, *options]
    quiet = ["-qq", "--tb=no", "--no-summary", "--no-header"]
    status = pytest.main([*files, *options, *quiet], plugins=[loop])
    if not loop.tests or status == pytest.ExitCode.INTERRUPTED:
        command = command_of_tests(*files, *options)
        sys.exit(_("The tests did not run to their end. This shows why:") + f"\n\n    {command}")


class Check(Loop):
    """Shows the milestones of one step, and of the one at hand what works and what fails first."""

    def __init__(self, server, stage):
        super().__init__()
        self.server = server
        self.stage = stage

    def test_is_over(self, test, step, milestone):
        report, _since = self.failures.get(step, (None, None))
        if report and report.nodeid == test:
            self.show_failure(step, milestone, report)
        if not report and test == [*milestone.results][-1]:
            show_milestone("ok", milestone)
            if not self.stage and milestone.number == self.number_of_idea(step):
                text = _("The idea of step {step} is complete, and its armour comes next.")
                print(f"\n  {text.format(step=int(step[4:6]))}\n")

    def show_failure(self, step, milestone, report):
        """Show the first failure at once, for the others may take their time."""
        show_milestone("->", milestone)
        name = report.nodeid.partition("::")[2]
        section = self.tests[report.nodeid][2]
        if self.stage:
            section = page_of(step, milestone.number)
        if report.when == "setup" and self.cannot_start(step):
            section = CONTRACT
        print(_("\nThe first test that fails, in the order in which one learns:\n"))
        print(f"    {name}\n")
        print(*(f"    {line}".rstrip() for line in hint_of(report)), sep="\n")
        print("\n" + _("    Read: {page}").format(page=in_language(section)) + "\n")
        print(_("All that pytest says about it:\n"))
        test = f"{file_of_tests(step)}::{name}"
        print(f"    {command_of_tests(test, '--server', self.server)}", flush=True)

    def show_sections(self, milestone):
        """Show what works of a milestone: how many tests of each section pass."""
        sections = {}
        for test, result in milestone.results.items():
            if result != "skipped":
                sections.setdefault(self.tests[test][2], []).append(result)
        for section, results in sections.items():
            passed, not_run = results.count("passed"), results.count(NOT_RUN)
            sign = "ok" if passed == len(results) else "--"
            counts = _("{sign} {passed:3} of {number:3}").format(
                sign=sign, passed=passed, number=len(results)
            )
            rest = _(" ({number} not run)").format(number=not_run) if not_run else ""
            if not_run == len(results):
                counts, rest = _("   not run   "), ""
            print(f"    {counts}   {title_of(section)}{rest}")
        if skipped := milestone.count("skipped"):
            text = _("{number} of its tests cannot run on this machine.")
            print(f"    {text.format(number=skipped)}")


def show_milestone(sign, milestone):
    kind = _(" (armour)") if milestone.is_armour else ""
    if sign == "ok" and not milestone.count("passed"):
        sign, kind = "  ", kind + _(": nothing of it can be tested here")
    print(f"  {sign}  {milestone.number}. {_(milestone.title)}{kind}", flush=True)


def check(step, server, stage=None, reached=None):
    """Test the milestones of a step up to the first that is not complete; return the status.

    reached: a later step that the server has begun: tests that are not true of it are left out.
    """
    loop = Check(server, stage)
    options = [f"--milestone={stage}"] if stage else []
    options += [f"--reached={reached}"] if reached else []
    file = file_of_tests(step)
    text = _("The tests of step {step}, which you can run yourself:\n")
    print(text.format(step=int(step[4:6])))
    command = command_of_tests(file, "--server", server, "-p", "no:randomly", *options)
    print(f"    {command}\n", flush=True)
    run(loop, [step], server, *options)
    milestones = [m for m in loop.milestones[step] if m.results]
    to_do = [milestone for milestone in milestones if not milestone.is_complete]
    if to_do and not loop.failures:
        return was_cut(loop)
    if to_do:
        print(_("{milestone}, so far:\n").format(milestone=_(to_do[0].title)))
        loop.show_sections(to_do[0])
        print()
        if to_do[1:] and (stage or not to_do[0].is_armour):
            print(_("These come after it:\n"))
            for milestone in to_do[1:]:
                show_milestone("  ", milestone)
            print()
        if later := gone_on(loop, step, server):
            return check(step, server, stage, later)
    if to_do and (stage or not to_do[0].is_armour):
        print(_("It is normal that tests fail at first, so build on and check again."))
        return 1
    if stage and stage < STAGES[step]:
        stage_is_done(step, stage, server)
    else:
        step_is_done(step, to_do, server)
    return 0


def was_cut(loop):
    """Say why no test failed, and some were not run; return the status."""
    name = loop.last.nodeid.partition("::")[2]
    text = _(
        "The check ended after {limit} seconds, which is its limit. The last test,\n"
        "{test}, took {seconds:.0f} seconds. Those after it were not run."
    )
    print(text.format(limit=MOST_SECONDS, test=name, seconds=loop.last.duration))
    return 1


def gone_on(loop, step, server):
    """If a server fails a test since it has gone on to a later step, say so, and return that."""
    report, _since = loop.failures[step]
    last = loop.flaws.get(report.nodeid)
    if not last or (later := furthest(step, server, "--timeout=3")) <= last:
        return None
    text = _(
        "But your server has gone on to step {step}, and this test is only true\n"
        "of earlier steps. So here is the check without it:\n"
    )
    print(text.format(step=int(later[4:6])))
    return later


def step_is_done(step, armour, server):
    """Say that a step's idea is complete, what is left of its armour, and how to go on."""
    number = int(step[4:6])
    if armour:
        text = _(
            "The idea of step {step} is complete, so you may go on. This is left of its armour:\n"
        )
        print(text.format(step=number))
        for milestone in armour:
            show_milestone("  ", milestone)
        print(_("\nBuild it now, or come back to it later, because no later idea needs it."))
    else:
        print(_("Step {step} is done.").format(step=number))
    if not is_mine(server):
        if step != RUNNABLE[-1]:
            go_on(RUNNABLE[RUNNABLE.index(step) + 1], server)
        return
    commands = []
    for path in sorted((ROOT / step).glob("*.py")):
        mine = MINE / path.name
        if not mine.exists():
            commands.append(shown("less" if os.name == "posix" else "more", path))
        elif mine.read_bytes() != path.read_bytes():
            commands.append(compare(path, mine))
    if commands:
        print(_("\nCompare yours with ours:\n"))
        print(*(f"    {command}" for command in commands), sep="\n")
    if step != RUNNABLE[-1]:
        following = RUNNABLE[RUNNABLE.index(step) + 1]
        print(_("\nGo on to step {step} with the same folder:\n").format(step=number + 1))
        for name in GIVEN.get(following, []):
            tool = "cp" if os.name == "posix" else "copy"
            print(f"    {shown(tool, ROOT / following / name, MINE / name)}")
        print(f"    {loop_command('check', following)}")


def stage_is_done(step, stage, server):
    """Say that a stage is complete, what it cannot do yet, and how to go on."""
    print(_("Stage {stage} of step {step} is done.").format(stage=stage, step=int(step[4:6])))
    if is_mine(server):
        print(_("\nCompare yours with ours:\n"))
        print(f"    {compare(ROOT / folder_of(step, stage), MINE)}")
    section = page_of(step, stage + 1)
    print(_("\nNow look at what it cannot do yet:\n"))
    failure = text_of(twin_of(section)).split("\n\n")[1]  # the first paragraph after the heading
    print(*(f"    {line}" for line in wrap(failure)), sep="\n")
    print("\n" + _("    Read: {page}").format(page=in_language(section)))
    if is_mine(server):
        print(_("\nGo on with the same folder:\n"))
        print(f"    {loop_command('check', step, stage + 1)}")


class Exercise(Loop):
    """Keeps the first failure of an exercise of a notebook; nothing is run after it."""

    seconds_red = 0


def check_milestone(step, server, number, name):
    """Test a server up to a milestone, and say what came of it, for an exercise of a notebook.

    name: of the function that the learner has written.
    """
    loop = Exercise()
    run(loop, [step], server, f"--milestone={number}")
    milestones = [milestone for milestone in loop.milestones[step] if milestone.results]
    if step not in loop.failures and all(milestone.is_complete for milestone in milestones):
        passed = sum(milestone.count("passed") for milestone in milestones)
        text = _(
            "ok: with your {name} all {passed} tests up to milestone {number} of step {step} pass:"
            '\n    "{milestone}".'
        )
        title = _(milestones[-1].title)
        values = {"name": name, "passed": passed, "number": number, "milestone": title}
        print(text.format(step=int(step[4:6]), **values))
    elif step in loop.failures:
        report, _since = loop.failures[step]
        text = _("not yet: with your {name} this test of step {step} fails first:\n")
        print(text.format(name=name, step=int(step[4:6])))
        print(f"    {report.nodeid.partition('::')[2]}\n")
        print(*(f"    {line}".rstrip() for line in hint_of(report)), sep="\n")
        section = in_language(loop.tests[report.nodeid][2])
        print("\n" + _("    Read: {page}").format(page=section))
    else:
        was_cut(loop)


class Reached(Loop):
    """Finds the last step that a server has begun: it passes one of the first new tests of it."""

    seconds_red = 3

    def __init__(self, step):
        super().__init__()
        self.step = step

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        super().pytest_collection_modifyitems(items)
        new = {}
        for item in items:
            if "new" in dict(item.user_properties):
                new.setdefault(item.module.STEP, []).append(item)
        items[:] = [item for tests in new.values() for item in tests[:TRIES]]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        has_begun = item.module.STEP == self.step
        # Step 3 runs Python's applications, so another language goes from step 2 to step 4.
        ahead = 2 if self.step == STEPS[1] else 1
        is_far = STEPS.index(item.module.STEP) > STEPS.index(self.step) + ahead
        if has_begun or is_far:
            pytest.skip(NOT_RUN)
        super().pytest_runtest_setup(item)

    def test_is_over(self, test, step, milestone):
        if milestone.results[test] == "passed":
            self.step = step


def furthest(step, server, *options):
    """Return the last step that a server has begun: this one, or one of the next."""
    loop = Reached(step)
    if later := RUNNABLE[RUNNABLE.index(step) + 1 :]:
        with contextlib.redirect_stdout(io.StringIO()):  # pytest still writes an empty line
            run(loop, later, server, *options)
    return loop.step


class Progress(Loop):
    """Shows a line for each step: which milestones are complete, and which one is next."""

    seconds_red = 0  # the first failure is enough

    def test_is_over(self, test, step, milestone):
        milestones = self.milestones[step]
        if test != [test for each in milestones for test in each.results][-1]:
            return
        complete = [m for m in milestones if m.is_complete]
        signs = ["+" if m in complete else "." for m in milestones]
        text = _("{complete} of {number}").format(complete=len(complete), number=len(milestones))
        if left := [m for m in milestones if m not in complete]:
            signs[left[0].number - 1] = "-"
            text += _(", the idea is complete") if left[0].is_armour else ""
            text += _(". Next: {milestone}").format(milestone=_(left[0].title))
        idea = " ".join(sign for sign, m in zip(signs, milestones, strict=True) if not m.is_armour)
        armour = " ".join(sign for sign, m in zip(signs, milestones, strict=True) if m.is_armour)
        signs = f"{idea} ({armour})" if armour else idea
        print(_("  step {step}   ").format(step=int(step[4:6])) + f"{signs:14} {text}", flush=True)


def progress(server):
    """Show a line for each step: its milestones, and which one is next."""
    reached = furthest(RUNNABLE[0], server)
    number = RUNNABLE.index(reached) + 1
    loop = Progress()
    run(loop, RUNNABLE[:number], server, f"--reached={reached}")
    for step in RUNNABLE[number:]:
        print(_("  step {step}   ").format(step=int(step[4:6])) + _("not begun"))
    print(_("\n+ is a complete milestone, and - is the one to work on. The armour is in brackets."))
    to_do = [step for step in RUNNABLE if not loop.has_idea(step)]
    if reached > STEPS[2] and not any(m.count("passed") for m in loop.milestones[STEPS[2]]):
        # It is in another language, which goes from step 2 to step 4.
        to_do = [step for step in to_do if step != STEPS[2]]
    if to_do:
        go_on(to_do[0], server)
    return 0


def go_on(step, server):
    """Say how to go on with a step."""
    text = _("Go on with step {step}: {command}")
    print(text.format(step=int(step[4:6]), command=loop_command("check", step, server=server)))


# Words: what the milestones, the sections and the commands are called.


def page_of(step, stage):
    """Return where the lesson of a stage is, such as "step02_http_server/STAGES.md#stage-3-..."."""
    page = f"{step}/STAGES.md"
    [anchor] = [name for name in headings(ROOT / page) if name.startswith(f"stage-{stage}")]
    return f"{page}#{anchor}"


def in_language(section):
    """Return where a section is in the learner's language, if its page is there.

    The headings of the two pages match one to one. Where they do not yet, it is the whole page.
    """
    file, *anchor = section.split("#")
    # Translators: how the name of a page ends, such as README.zh-CN.md
    page = file.removesuffix(".md") + _(".md")
    if page == file or not (ROOT / page).exists():
        return section
    theirs, ours = [*headings(ROOT / file)], [*headings(ROOT / page)]
    if not anchor or len(theirs) != len(ours):
        return page
    return f"{page}#{ours[theirs.index(*anchor)]}"


def twin_of(section):
    """Return a section in the learner's language, or the English one while none matches."""
    twin = in_language(section)
    return twin if "#" in twin else section


def title_of(section):
    """Return the heading of a section, as it stands on its page."""
    file, _hash, anchor = twin_of(section).partition("#")
    return headings(ROOT / file).get(anchor, section)


def hint_of(report):
    """Return the message of a failed test: what pytest shows, without its own explanation.

    In another language than English hints precede it: what is asked for, and what has happened. And
    what became of the server follows, if the report knows it.
    """
    message = message_of(report)
    if message.startswith("Failed: Timeout"):
        message = too_slow(report.nodeid, MOST_SECONDS_OF_A_TEST)
    states = [text for title, text in report.sections if title == "the server"]
    lines = [line for text in [message, *states] for line in short(text)]
    happened = situation("\n".join([message, *states]))
    test = report.nodeid.partition("::")[2].partition("[")[0]
    rule = dict(report.user_properties).get("rule", "")
    return [*translated(test), *translated(rule), *translated(happened), *lines]


def message_of(report):
    """Return the message of a failed test alone."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash else str(report.longrepr)
    return message.removeprefix("AssertionError: ").partition("\nassert ")[0]


def situation(text):
    """Return the words of SITUATIONS that a message has, or ""."""
    return next((words for words in SITUATIONS if words in text), "")


def where_to_read(test, section):
    """Return what pytest itself says of a test that fails: its hint, and the page. A list of lines.

    In English it is the page alone.
    """
    page = _("    Read: {page}").format(page=in_language(section))
    return [*translated(test), page.strip()]


def translated(name):
    """Return the lines of the hint for a test, a proof or a rule; none of them in English."""
    return [*wrap(_(name)), ""] if name and _(name) != name else []


def short(text):
    """Return the lines of a text, wrapped; of a long one the first and the last lines."""
    lines = []
    for line in text.splitlines():  # a line of a traceback stays as it is
        whole = line.startswith(" ")
        lines += [line] if whole else wrap(line)
    if len(lines) > MOST_LINES:  # the last lines of a traceback say most
        lines = [*lines[:4], "...", *lines[5 - MOST_LINES :]]
    return lines


def too_slow(test, seconds):
    """Return what to say of a test that takes too long."""
    text = _(
        "{test} took more than {seconds:g} seconds, which is the limit of one test. Something in "
        "it waits for what never comes."
    )
    return text.format(test=test.partition("::")[2], seconds=seconds)


def is_mine(server):
    """Return whether a server is the one in mine/."""
    return server == str(MINE / "server.py")


def shown(*words):
    """Return a command as one types it in the root folder."""
    words = [str(word).removeprefix(f"{ROOT}{os.sep}") for word in words]
    return shlex.join(words) if os.name == "posix" else subprocess.list2cmdline(words)


def command_of_tests(*words):
    """Return the command of pytest as one types it in the root folder."""
    return shown(sys.executable, "-m", "pytest", *words)


def compare(ours, mine):
    """Return the command that compares two files or folders."""
    recursive = "-ru" if ours.is_dir() else "-u"
    tool = ["diff", recursive] if os.name == "posix" else ["git", "diff", "--no-index"]
    return shown(*tool, ours, mine)


def loop_command(verb, step, stage=None, server=None):
    """Return the command of the learner's loop for a step: with make where there is make."""
    number = step[4:6]
    others = [] if server is None or is_mine(server) else [server]
    if os.name == "posix":
        words = [f"STAGE={stage}"] if stage else []
        words += [f"SERVER={shlex.quote(other)}" for other in others]
        return " ".join([f"make {verb} STEP={number}", *words])
    options = ["--stage", stage] if stage else []
    options += [word for other in others for word in ("--server", other)]
    options += ["--start"] if verb == "start" else []
    return shown(sys.executable, "-m", "course.progress", number, *options)
