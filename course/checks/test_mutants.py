"""Each kind of mutant is made, and mutants.toml is about lines that are there."""

import pytest

from course.mutants import CHECKS, changed, read_equivalent
from tests.harness import ROOT


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("a < b", {"a <= b", "pass"}),
        ("a and not b", {"(a or not b)", "(a)", "(not b)", "a and (b)", "pass"}),
        ("x += 1", {"x -= 1", "x += 2", "pass"}),
        ("f(a, key=True)", {"f(key=True)", "f(a)", "f(a, key=False)", "pass"}),
        ('x = "text/html"', {"x = 'Xtext/html'", "pass"}),
        ('"""A docstring."""', set()),
        ("x = a[1:]", {"x = a[:]", "x = a[2:]", "pass"}),
        ("if a:\n    return b", {"if not (a):\n    return b", "if a:\n    return None"}),
        (
            "try:\n    pass\nexcept (A, B):\n    pass",
            {
                "try:\n    pass\nexcept BaseException:\n    pass",
                "try:\n    pass\nexcept (A,):\n    pass",
                "try:\n    pass\nexcept (B,):\n    pass",
            },
        ),
    ],
)
def test_each_kind_of_change_is_made(right, wrong):
    assert {*changed(right)} == wrong


def test_what_changes_nothing_is_about_lines_that_are_there():
    for name, *diff in read_equivalent():
        lines = {
            line.strip()
            for path in ROOT.glob(f"step0*/{name}")
            for line in path.read_text("utf-8").splitlines()
        }
        gone = [line[2:] for line in diff if line.startswith("- ")]
        assert {*gone} <= lines, f"No {name} has these lines any more: {gone}"


def test_the_checks_that_look_at_servers_are_there():
    files = [ROOT / "course" / "checks" / f"test_{name}.py" for name in CHECKS]
    assert [file for file in files if not file.exists()] == []
