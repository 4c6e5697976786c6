"""Run the tests of a step against a server, and read what came of each."""

import os
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

from course.facts import file_of_tests
from tests.harness import ROOT


class Result(NamedTuple):
    """What came of a test."""

    name: str
    noted: dict[str, str]  # what its markers say: see pytest_collection_modifyitems in fixtures.py
    failure: str | None  # the message, or None if it passed


def run_tests(step, server, report, *options, environment=None):
    """Run tests of a step against a server, and return a Result for each that was not skipped.

    server: the words of its command, the first one a Python file. report: a Path for pytest's.
    options: more words for pytest.
    """
    command = [sys.executable, "-m", "pytest", "-q", file_of_tests(step), *options]
    command += ["--server", shlex.join(map(str, server)), f"--junitxml={report}"]
    env = os.environ | (environment or {})
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert report.exists(), f"pytest made no report:\n{done.stdout}{done.stderr}"
    results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        problems = [*case.iter("failure"), *case.iter("error")]
        text = "\n".join(f"{problem.get('message')}\n{problem.text}" for problem in problems)
        noted = {item.get("name"): item.get("value") for item in case.iter("property")}
        if [*case.iter("skipped")]:  # it says why: there is no curl here, for one
            continue
        name = case.get("name")
        if name in results:  # it failed, and what comes after it, too
            text = f"{results[name].failure}\n{text}"
        results[name] = Result(name, noted, text or None)
    return list(results.values())
