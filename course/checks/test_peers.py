"""Real servers pass the tests of steps 2 and 3, but for those that peers.toml gives a reason for.

A test that is a duty must not want more of a server than HTTP and WSGI do, or than the lesson says
that it wants. Many eyes have read gunicorn, waitress and uvicorn: where one of them fails a test,
either it breaks a rule, which peers.toml quotes, or the lesson asks for more. Otherwise the test
is wrong.
"""

import os
import sys
import tomllib

import pytest

from benchmarks.contenders import FOLDER
from course.facts import file_of_tests
from course.runs import run_tests
from tests.harness import ROOT, STEPS

PEERS = ["gunicorn", "waitress", "uvicorn"]
SITE = {STEPS[1]: ["course.peers_site:application"], STEPS[2]: []}  # step 3's tests name their own
TABLE = tomllib.loads((ROOT / "course" / "peers.toml").read_text("utf-8"))
RULES = ("RFC 9110, section ", "RFC 9112, section ", "PEP 3333, ")
SECONDS = 4  # a test gives up after so long: a server that does not answer costs as much
SEVERAL = ["-n", "3"]  # tests at a time: most of them wait


def named(peer, step, waits=False):
    """Return the tests that a server fails with a reason: those that the check runs, or others."""
    rows = [row for row in TABLE[step] if row.get("waits", False) == waits]
    return [test for row in rows if peer in row["peers"] for test in row["tests"]]


def names_of(test):
    """Return the names that a table may have for a test: its own, and without its parameters."""
    return {test, test.partition("[")[0]}


@pytest.mark.skipif(os.name != "posix", reason="gunicorn needs a POSIX system")
@pytest.mark.parametrize("step", SITE)
@pytest.mark.parametrize("peer", PEERS)
def test_a_real_server_fails_the_tests_that_have_a_reason_and_no_other(peer, step, tmp_path):
    command = [sys.executable, FOLDER / "peers.py", peer, *SITE[step], "--log"]
    environment = {"PATIENCE": str(SECONDS), "PYTHONPATH": str(ROOT / step)}
    file = file_of_tests(step).relative_to(ROOT)
    left_out = [f"--deselect={file}::{test}" for test in named(peer, step, waits=True)]
    results = run_tests(
        step, command, tmp_path / "report.xml", *SEVERAL, *left_out, environment=environment
    )
    reasons = set(named(peer, step))
    failed = [result for result in results if result.failure]
    without = [result for result in failed if not names_of(result.name) & reasons]
    assert not without, (
        f"{peer} fails tests of {step} that are a duty. Which rule does it break, or does the "
        "lesson ask for more? Say so in course/peers.toml, or loosen the test.\n\n"
        + "\n\n".join(f"{result.name}: {result.failure[:500]}" for result in without)
    )
    passed = [result.name for result in results if result not in failed]
    as_good = [name for name in passed if names_of(name) & reasons]
    assert not as_good, (
        f"{peer} passes these: course/peers.toml need no longer name them. {as_good}"
    )
    unknown = reasons.difference(*(names_of(result.name) for result in results))
    assert not unknown, f"These are no duty of {step}, or no test of it: {unknown}"


@pytest.mark.parametrize("step", SITE)
def test_each_row_has_a_reason_and_no_test_stands_twice_for_a_server(step):
    text = file_of_tests(step).read_text("utf-8")
    for row in TABLE[step]:
        rule, quotation = row.get("rule", ""), row.get("says", "")
        breaks = row["kind"] == "breaks"
        assert breaks or row["kind"] == "lesson", f"{row['tests']}: what kind of reason is that?"
        assert row["reason"].endswith("."), f"{row['tests']}: the reason is a sentence."
        assert (rule.startswith(RULES) and bool(quotation)) == breaks, (
            f"{row['tests']}: a rule that is broken is named and quoted, and no other."
        )
        assert set(row["peers"]) <= set(PEERS), f"The check knows not all of {row['peers']}."
        for test in row["tests"]:
            assert f"def {test.partition('[')[0]}(" in text, f"{step} has no test {test}."
    for peer in PEERS:
        tests = named(peer, step) + named(peer, step, waits=True)
        assert len(tests) == len(set(tests)), f"{peer}: a test stands in two rows of {step}."
