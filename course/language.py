"""The language of what the learner's loop says: English, or that of a catalog in course/locale/.

gettext chooses it by the first of LANGUAGE, LC_ALL, LC_MESSAGES and LANG that is set, on Windows,
too. So LANGUAGE=zh is enough, and zh_CN.UTF-8 finds the catalog zh as well. What comes after
English in a list such as en_US:zh does not count.
"""

import gettext
import itertools
import os
import re
import sys
import textwrap
import unicodedata
from pathlib import Path

DOMAIN = "course"
LOCALE = Path(__file__).with_name("locale")
VARIABLES = "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"
COLUMNS = 92  # of a line of a hint
WIDE = "[\u3000-\uffff]"  # a sign of Chinese, which takes two columns
# Where a line may end: after a word, and after such a sign, but not before a comma.
PIECES = r"\s*[“（《]*(?:[\u4e00-\uffef]|[^\s\u3000-\uffff]+)[，、。：；？！”）》]*"


def translation():
    """Return the translation; of English, and where a terminal lacks the signs, there is none."""
    try:
        "中文".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return gettext.NullTranslations()
    chosen = next(filter(None, map(os.environ.get, VARIABLES)), "").split(":")
    # English has no catalog, so gettext would look for the one of the next language.
    wanted = [*itertools.takewhile(lambda name: not name.startswith("en"), chosen)]
    return gettext.translation(DOMAIN, str(LOCALE), wanted, fallback=True)


LANGUAGE = translation().info().get("language", "en")  # "zh", for example
_ = translation().gettext
if LANGUAGE != "en":  # argparse asks gettext for its own words
    gettext.bindtextdomain(DOMAIN, str(LOCALE))
    gettext.textdomain(DOMAIN)


def wrap(text):
    """Return the lines of a text, of COLUMNS at most."""
    if not re.search(WIDE, text):
        return textwrap.wrap(text, COLUMNS, break_on_hyphens=False)
    lines = [""]
    for piece in re.findall(PIECES, re.sub(f"(?<={WIDE})\n(?={WIDE})", "", text)):
        line = lines[-1] + piece
        if len(line) + sum(unicodedata.east_asian_width(sign) in "WF" for sign in line) > COLUMNS:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return lines
