"""The pages read well: no page is a scroll, and no sentence drops its reason to be short.

What is measured, and how, is in course/reading.py: python -m course.reading PAGE shows it.
"""

import pytest

from course.reading import SHORT, measure, pages, visible
from tests.harness import ROOT

MOST_LINES = 450  # that a reader sees before unfolding anything
WORDS = 13, 16  # a sentence, on average
MOST_SHORT = 0.125  # of the sentences

ALL = [path.relative_to(ROOT).as_posix() for path in pages()]


def reading_of(page):
    """Return the Reading of a page, which is named from the root folder."""
    return measure((ROOT / page).read_text("utf-8"))


def test_of_a_fold_its_summary_is_visible():
    fold = "<details><summary>Hint</summary>\n\nAsk.\n\n</details>\n"
    assert visible(f"One.\n{fold}Two.\n{fold}") == (
        "One.\n<summary>Hint</summary>\nTwo.\n<summary>Hint</summary>\n"
    )


@pytest.mark.parametrize("page", ALL)
def test_a_page_is_no_scroll(page):
    lines = reading_of(page).visible_lines
    assert lines <= MOST_LINES, (
        f"{page} has {lines} visible lines, and {MOST_LINES} are the most. Fold what few need, or "
        "make a page of its own from a part."
    )


@pytest.mark.parametrize("page", ALL)
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
