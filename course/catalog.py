"""Bring the catalogs of course/locale/ up to date, and compile them (make catalog).

    python -m course.catalog

A message is what stands in _("...") in a file of FILES, or after ## in the Makefile. The milestones
of the tests are messages, too, and so is the name of each test, and of each proof of an exercise:
its translation is a hint, shown above the words of the test. It is followed by the rule, if a test
has one for each parameter. OF_ARGPARSE has what a wrong option is answered with, and --help.
"""

import importlib
import io

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from course import exercises, progress
from course.commands import commands
from course.facts import file_of_tests
from course.language import DOMAIN, LOCALE
from course.loop import RULE, SITUATIONS
from tests.harness import ROOT, STEPS

FILES = [ROOT / "course" / f"{name}.py" for name in ("progress", "loop", "copies", "install")]
FILES += [ROOT / name for name in ("course/doctor.py", "course/lab.py", "notebooks/lab.py")]
FILES += [ROOT / name for name in ("arena/__main__.py", "arena/recording.py", "book/__main__.py")]
FILES += [ROOT / "tests" / "fixtures.py"]
OF_ARGPARSE = [
    "usage: ",
    "positional arguments",
    "options",
    "show this help message and exit",
    "%(prog)s: error: %(message)s\n",
    "argument %(argument_name)s: %(message)s",
    "invalid %(type)s value: %(value)r",
    "expected one argument",
    "unrecognized arguments: %s",
]


def messages():
    """Return a Catalog of all messages, without translations."""
    catalog = Catalog()
    for path in FILES:
        for _, message, comments, _ in extract_from_file(
            "python", path, comment_tags=["Translators:"]
        ):
            catalog.add(message, locations=[(name_of(path), None)], auto_comments=comments)
    for path in map(file_of_tests, STEPS):
        module = importlib.import_module(f"tests.{path.stem}")
        for message in [*module.MILESTONES, *hints(module)]:
            catalog.add(message, locations=[(name_of(path), None)])
    for _, text in commands():
        catalog.add(text, locations=[("Makefile", None)])
    catalog.add(progress.__doc__, locations=[("course/progress.py", None)])
    for words in OF_ARGPARSE:
        catalog.add(words, locations=[("argparse", None)])
    for words in SITUATIONS:
        catalog.add(words, locations=[("course/loop.py", None)])
    for name in vars(exercises):
        if name.startswith("prove_"):
            catalog.add(name, locations=[("course/exercises.py", None)])
    return catalog


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def hints(module):
    """Yield the name of each test of a module, and each rule among its parameters."""
    for name, test in vars(module).items():
        if name.startswith("test_"):
            yield name
            for mark in getattr(test, "pytestmark", ()):
                if mark.name == "parametrize":
                    yield from rules(*mark.args)


def rules(names, rows):
    """Yield the rules among the parameters of a test: see RULE in course.loop."""
    names = names.replace(",", " ").split() if isinstance(names, str) else names
    for row in rows:
        values = getattr(row, "values", row)  # pytest.param has them as an attribute
        yield from filter(None, (values[names.index(name)] for name in RULE if name in names))


def read(text):
    """Return the Catalog that a text stands for, that of a .po."""
    return read_po(io.StringIO(text))


def update(text):
    """Return the text of a catalog with the messages of now. Those that are gone go."""
    catalog = read(text)
    catalog.update(messages(), no_fuzzy_matching=True, update_creation_date=False)
    file = io.BytesIO()
    write_po(file, catalog, width=100, ignore_obsolete=True)
    return file.getvalue().decode()


def compile_(text):
    """Return the bytes of the .mo of a catalog."""
    file = io.BytesIO()
    write_mo(file, read(text))
    return file.getvalue()


def main():
    """Update and compile each catalog."""
    for path in LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.po"):
        text = update(path.read_text("utf-8"))
        path.write_text(text, "utf-8")
        path.with_suffix(".mo").write_bytes(compile_(text))


if __name__ == "__main__":
    main()
