"""The pages read well: no page is a scroll, and no sentence drops its reason to be short.

What is measured, and how, is in course/reading.py: python -m course.reading PAGE shows it.
"""

import pytest

from course.reading import SHORT, measure, pages, visible
from tests.harness import ROOT

MOST_LINES = 450  # that a reader sees before unfolding anything
WORDS = 12.5, 17  # a sentence, on average
MOST_SHORT = 0.125  # of the sentences

# The pages whose language was edited. Add yours when you have edited it.
EDITED = """
.github/CONTRIBUTING.md
GLOSSARY.md
README.md
TEACHING.md
benchmarks/README.md
guide/build-your-own.md
guide/how-a-lesson-works.md
guide/the-road-from-here.md
guide/when-it-breaks.md
step01_echo_socket/BREAK_IT.md
step01_echo_socket/EXERCISES.md
step01_echo_socket/README.md
step02_http_server/ARMOUR.md
step02_http_server/BREAK_IT.md
step02_http_server/EXERCISES.md
step02_http_server/README.md
step02_http_server/STAGES.md
step03_wsgi/BREAK_IT.md
step03_wsgi/EXERCISES.md
step03_wsgi/README.md
step04_fork/BREAK_IT.md
step04_fork/EXERCISES.md
step04_fork/README.md
step05_zombies/BREAK_IT.md
step05_zombies/EXERCISES.md
step05_zombies/README.md
step06_prefork/BREAK_IT.md
step06_prefork/EXERCISES.md
step06_prefork/README.md
teaching/lesson-1-sockets.md
teaching/lesson-2-http.md
teaching/lesson-3-wsgi.md
teaching/lesson-4-fork.md
teaching/lesson-5-zombies.md
teaching/lesson-6-workers.md
teaching/the-room.md
""".split()

ALL = [path.relative_to(ROOT).as_posix() for path in pages()]


def reading_of(page):
    """Return the Reading of a page, which is named from the root folder."""
    return measure((ROOT / page).read_text("utf-8"))


def test_of_a_fold_its_summary_is_visible():
    fold = "<details><summary>Hint</summary>\n\nAsk.\n\n</details>\n"
    assert visible(f"One.\n{fold}Two.\n{fold}") == (
        "One.\n<summary>Hint</summary>\nTwo.\n<summary>Hint</summary>\n"
    )


def test_each_edited_page_is_there():
    assert EDITED == sorted(EDITED)
    assert {*EDITED} <= {*ALL}


@pytest.mark.parametrize("page", ALL)
def test_a_page_is_no_scroll(page):
    lines = reading_of(page).visible_lines
    assert lines <= MOST_LINES, (
        f"{page} has {lines} visible lines, and {MOST_LINES} are the most. Fold what few need, or "
        "make a page of its own from a part."
    )


@pytest.mark.parametrize("page", EDITED)
def test_its_sentences_are_joined_by_their_reason_and_not_long(page):
    reading = reading_of(page)
    least, most = WORDS
    assert least <= reading.mean_words <= most, (
        f"The sentences of {page} have {reading.mean_words:.1f} words on average, and {least} to "
        f"{most} read best. Join short ones with because, so, when or which, and split the longest."
    )
    assert reading.short <= MOST_SHORT, (
        f"{reading.short:.1%} of the sentences of {page} have at most {SHORT} words, and at most "
        f"{MOST_SHORT:.1%} may. Join them with what they belong to."
    )
