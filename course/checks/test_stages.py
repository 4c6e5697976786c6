"""The stages of steps 2 and 3 hold: each is a small program that runs, and a small step on."""

import ast
import difflib
import os
import shutil
import signal
import sys

import pytest

from course.facts import STAGES, changed_names, code_lines, definitions, folder_before, folder_of
from course.runs import run_tests
from tests.harness import ROOT, Server, get

# What belongs to a step's stages, and what they inherit as identical copies.
FILES = {
    "step02_http_server": ["server.py", "http_message.py"],
    "step03_wsgi": ["server.py", "wsgi.py"],
}
COPIES = {
    "step02_http_server": [],
    "step03_wsgi": ["http_message.py", "app.py", "flask_app.py"],
}
# The names of each file that a stage adds, changes or drops: its idea.
IDEAS = {
    ("step02_http_server", 1): {"server.py": {"HOME_PAGE", "serve", "handle"}},
    ("step02_http_server", 2): {
        "server.py": {"BUFFER_SIZE", "handle", "answer"},
        "http_message.py": {
            *("BUFFER_SIZE", "HTTPError", "HTTPError.__init__", "Request", "read_request"),
            *("format_response", "format_head", "http_date", "refuse"),
        },
    },
    ("step02_http_server", 3): {
        "server.py": {"HOME_PAGE", "handle", "answer"},
        "http_message.py": {
            *("MAX_LINE", "MAX_HEADER_BYTES", "Request", "Reader", "Reader.__init__"),
            *("Reader.receive", "Reader.read_line", "Reader.copy_to", "read_request"),
            *("read_request_line", "read_headers", "read_body", "values"),
        },
    },
    ("step02_http_server", 4): {
        "server.py": {"handle"},
        "http_message.py": {
            *("MAX_HEADERS", "MAX_BODY", "MAX_BODY_IN_MEMORY", "AT_ONCE", "REQUEST_SECONDS"),
            *("SEND_SECONDS", "RESPONSE_SECONDS", "LINGER_SECONDS", "Reader", "Reader.__init__"),
            *("Reader.receive", "read_request", "read_headers", "read_body", "send", "linger"),
            "refuse",
        },
    },
    ("step02_http_server", 5): {
        "http_message.py": {
            *("TOKEN", "TEXT", "VERSION", "ABSOLUTE_FORM", "HOST", "DIGITS"),
            *("CHUNK_SIZE", "STATUS", "HEADER", "HTTPError.__init__", "Reader.read_line"),
            *("Reader.copy_to", "read_request", "read_request_line", "read_headers"),
            *("split_target", "read_body", "copy_chunks", "format_head", "linger", "refuse"),
        },
    },
    ("step03_wsgi", 1): {
        "server.py": {"HOME_PAGE", "serve", "handle", "answer", "main"},
        "wsgi.py": {"load_application", "make_environ", "run_application"},
    },
    ("step03_wsgi", 2): {
        "wsgi.py": {
            *("Response", "Response.__init__", "Response.start_response", "Response.write"),
            *("Response.send", "send_body", "run_application"),
        },
    },
    ("step03_wsgi", 3): {
        "server.py": {"main"},
        "wsgi.py": {
            *("Disconnected", "load_application", "Response.start_response", "Response.send"),
            "run_application",
        },
    },
    ("step03_wsgi", 4): {
        "wsgi.py": {
            *("RESET", "Response.__init__", "Response.start_response", "Response.send"),
            *("Response.choose_framing", "send_body"),
        },
    },
    ("step03_wsgi", 5): {
        "wsgi.py": {
            *("HOP_BY_HOP", "load_application", "make_environ", "Response.__init__"),
            *("Response.start_response", "Response.send", "send_body", "run_application"),
        },
    },
}
LEAST_KEPT = 0.6  # of the lines of the last stage before the step itself
# What Python on Windows lacks, of what a server might use.
POSIX_ONLY = {
    "os": ["fork", "register_at_fork", "getuid", "setsid", "killpg", "sendfile"],
    "signal": ["SIGCHLD", "SIGHUP", "SIGKILL", "SIGALRM", "SIGPIPE", "alarm", "pthread_sigmask"],
    "socket": ["TCP_INFO", "SO_REUSEPORT", "AF_UNIX", "MSG_DONTWAIT", "MSG_NOSIGNAL"],
}
AS_ON_WINDOWS = f"""
import os, runpy, shutil, signal, socket, sys
for module, names in {POSIX_ONLY}.items():
    for name in names:
        vars(sys.modules[module]).pop(name, None)
os.name = "nt"
del sys.argv[0]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
BARE = [sys.executable, "-E", "-S", "-s"]  # no environment, no packages but the standard library
IN_A_HURRY = {"PATIENCE": "5"}  # many tests fail here, and some of them only by waiting
STRICT = ["-X", "dev", "-W", "error"]

all_stages = pytest.mark.parametrize(("step", "stage"), IDEAS)
steps = pytest.mark.parametrize("step", FILES)
stages = pytest.mark.parametrize(  # without the last ones, which are the steps
    ("step", "stage"), [(step, stage) for step, stage in IDEAS if stage < STAGES[step]]
)


def test_the_steps_that_are_built_in_stages_are_checked_here():
    assert [*FILES] == [*COPIES] == [step for step in STAGES if STAGES[step] > 1]
    assert [*IDEAS] == [(step, n) for step in FILES for n in range(1, STAGES[step] + 1)]


@stages
def test_a_stage_has_its_files_and_identical_copies_of_all_others(step, stage):
    folder = ROOT / folder_of(step, stage)
    own = {name for number in range(1, stage + 1) for name in IDEAS[step, number]}
    assert {path.name for path in folder.glob("*.*")} == own | {*COPIES[step]}
    for name in COPIES[step]:
        assert (folder / name).read_bytes() == (ROOT / step / name).read_bytes(), (
            f"{folder / name} is not the copy of {step}/{name}: carry the change through."
        )


@all_stages
def test_a_stage_changes_only_what_its_idea_needs(step, stage):
    before, after = (ROOT / place(step, stage) for place in (folder_before, folder_of))
    different = {name: changed_names(before / name, after / name) for name in FILES[step]}
    assert {name: names for name, names in different.items() if names} == IDEAS[step, stage]


def parameters(function):
    """Return the parameters of a function: a dict from each name to its default, or None."""
    given = function.args
    assert not given.posonlyargs and not given.kwonlyargs and not given.vararg and not given.kwarg
    names = [parameter.arg for parameter in given.args]
    defaults = [ast.unparse(default) for default in given.defaults]
    return dict(zip(names, [None] * (len(names) - len(defaults)) + defaults, strict=True))


@stages
def test_names_order_and_signatures_are_those_of_the_step(step, stage):
    """A first stage may have less: one page needs no function, and a join no class."""
    for name in [name for name in FILES[step] if (ROOT / folder_of(step, stage) / name).exists()]:
        early, final = (
            {
                function: node
                for function, node in definitions(ROOT / folder / name).items()
                if isinstance(node, ast.FunctionDef | ast.ClassDef)
            }
            for folder in (folder_of(step, stage), step)
        )
        assert [*early] == [function for function in final if function in early], (
            f"{name} of stage {stage} has other names than the step's, or another order."
        )
        for function, node in early.items():
            if isinstance(node, ast.FunctionDef):
                now, then = parameters(node), parameters(final[function])
                later = [*then][len(now) :]
                assert [*now, *later] == [*then] and now.items() <= then.items(), (
                    f"{function} of stage {stage} has the parameters {now}, in the end {then}."
                )
                assert None not in [then[parameter] for parameter in later], (
                    f"{function} gets {later} after stage {stage}: these need a default."
                )


@steps
def test_most_lines_of_the_last_stage_stand_in_the_step(step):
    def lines(folder):
        return [line for name in FILES[step] for line in code_lines(ROOT / folder / name)]

    last, final = lines(folder_of(step, STAGES[step] - 1)), lines(step)
    matches = difflib.SequenceMatcher(None, last, final, autojunk=False).get_matching_blocks()
    kept = sum(match.size for match in matches)
    assert kept >= LEAST_KEPT * len(last), f"Only {kept} of {len(last)} lines stay as they are."


@pytest.mark.timeout(300)  # of the tests that fail some wait, and each looks whether a server ends
@stages
def test_a_stage_passes_its_tests_and_fails_those_of_the_next_for_their_reason(
    step, stage, tmp_path
):
    """A test without a reason may pass before: each stage has the armour of the step before."""
    server = [ROOT / folder_of(step, stage) / "server.py"]
    options = [f"--milestone={stage + 1}", "--course", "--tb=line"]
    results = run_tests(step, server, tmp_path / "report.xml", *options, environment=IN_A_HURRY)
    wrong, numbers = [], set()
    for name, noted, failure in results:
        number, reason = int(noted.get("milestone", 1)), noted.get("fails before")
        numbers.add(number)
        if number <= stage and failure:
            wrong.append(f"{name} is of stage {number}, but it fails:\n{failure}")
        if number > stage and reason and not failure:
            wrong.append(f"{name} is of stage {number}, but it passes.")
        elif number > stage and reason and reason not in failure:
            wrong.append(f"{name} fails, but not since {reason!r}:\n{failure}")
    assert not wrong, f"On {server}:\n" + "\n".join(wrong)
    assert numbers == {*range(1, stage + 2)}, f"There are tests of the stages {numbers}."


@pytest.fixture
def alone(step, stage, tmp_path):
    """server.py of a stage whose folder was copied out alone."""
    folder = tmp_path / "a folder of its own"
    shutil.copytree(ROOT / folder_of(step, stage), folder)
    return folder / "server.py"


def assert_serves(server):
    reply = get(server)
    assert reply.status == 200 and b"<h1>It works</h1>" in reply.body, f"It gave {reply}."


@all_stages
def test_a_stage_runs_alone_from_any_folder_and_warns_of_nothing(alone, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Server([*BARE, *STRICT, str(alone), "--port", "0"], cwd=elsewhere) as server:
        assert_serves(server)
        if os.name == "posix":
            server.send_signal(signal.SIGINT)
            assert server.wait() == 0, server.report()
            assert server.output("stderr") == []


@all_stages
def test_a_stage_needs_nothing_that_windows_lacks(alone):
    command = [*BARE, "-c", AS_ON_WINDOWS, str(alone), "--port", "0"]
    with Server(command) as server:
        assert_serves(server)
        assert server.output("stderr") == []
