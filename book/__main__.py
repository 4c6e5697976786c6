"""Build the book, in English and Chinese (make book), and show it (make book-open).

    python -m book [--open]

The site is in book/_build/html: files that need no server. Nothing of a notebook is executed.
"""

import argparse
import os
import subprocess
import sys
import time
import webbrowser

from book.figures import style
from book.pages import LANGUAGES, WORDS, write_sources
from course.language import LANGUAGE, _
from tests.harness import ROOT

BUILD = ROOT / "book" / "_build"
SITE = BUILD / "html"
FOLDERS = {"en": SITE, "zh": SITE / "zh"}  # what is of both languages is found beside each other


def build(language):
    """Build the pages of a language; raises CalledProcessError if Sphinx has a warning."""
    source = BUILD / "source" / language
    write_sources(source, language)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"]
    command += ["-c", ROOT / "book", "-D", f"language={LANGUAGES[language]}"]
    command += ["-D", f"html_title={WORDS[language]['title']}"]
    command += ["-d", BUILD / "doctrees" / language, source, FOLDERS[language]]
    if not (FOLDERS[language] / "searchindex.js").exists():  # the build before did not come so far:
        command.append("--write-all")  # an index of some pages would be a warning
    # Sphinx ends at once if a machine lacks the locale that is set.
    subprocess.run(command, cwd=ROOT, env=os.environ | {"LC_ALL": "C"}, check=True)


def main():
    """Read the command line, build both languages, and say what was built."""
    parser = argparse.ArgumentParser(description=_("Build the book, in English and Chinese."))
    parser.add_argument("--open", action="store_true", help=_("show it in a browser"))
    arguments = parser.parse_args()
    begin = time.monotonic()
    static = BUILD / "static"
    static.mkdir(parents=True, exist_ok=True)
    (static / "lifelines.css").write_text(style(), "utf-8")
    try:
        for language in LANGUAGES:
            build(language)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    pages = len([*SITE.rglob("*.html")])
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) / 2**20
    seconds = time.monotonic() - begin
    page = FOLDERS[LANGUAGE] / "index.html"
    text = _("{pages} pages, {size:.1f} MiB, built in {seconds:.0f} s: {file}")
    print(text.format(pages=pages, size=size, seconds=seconds, file=page))
    if arguments.open:
        webbrowser.open(page.as_uri())


if __name__ == "__main__":
    main()
