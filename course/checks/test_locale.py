"""The learner's loop in Chinese: its catalog is complete, and the locale chooses it."""

import importlib
import os
import re
import string
import subprocess
import sys

import pytest

from course import catalog, language, loop
from course.checks.test_chinese_style import mistakes_of_style, rejected_words
from course.copies import changed
from course.facts import file_of_tests, read_mistakes, section
from tests.harness import ROOT, STEPS

PO = language.LOCALE / "zh" / "LC_MESSAGES" / "course.po"
CHINESE = language.gettext.translation(language.DOMAIN, language.LOCALE, ["zh"])
HAN = re.compile(r"[\u4e00-\u9fff]")


def run(*words, **environment):
    """Run Python with no locale but what the environment says; return what subprocess.run does."""
    names = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG", "PYTHONIOENCODING", "PYTHONUTF8")
    env = {name: value for name, value in os.environ.items() if name not in names} | environment
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=120)


def say(**environment):
    """Return what one message is with that environment, as bytes."""
    done = run("-c", "from course.language import _; print(_('not begun'))", **environment)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    return done.stdout.strip()


@pytest.mark.parametrize(
    "environment",
    [
        {"LANGUAGE": "zh"},
        {"LANGUAGE": "zh_CN:en", "LANG": "de_DE.UTF-8"},
        {"LANGUAGE": "zh", "LC_ALL": "C"},
        {"LC_ALL": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"},
        {"LC_MESSAGES": "zh_CN"},
        {"LANG": "zh_SG.UTF-8"},
    ],
    ids=str,
)
def test_a_chinese_locale_is_answered_in_chinese(environment):
    assert say(**environment) == "还没有开始".encode()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LANG": "de_DE.UTF-8"},
        {"LANGUAGE": "en", "LANG": "zh_CN.UTF-8"},
        {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"},
        {"LANGUAGE": "zh", "PYTHONIOENCODING": "ascii"},
        {"LANGUAGE": "zh", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_every_other_locale_is_answered_in_english_and_so_is_who_cannot_show_chinese(environment):
    assert say(**environment) == b"not begun"


def test_a_terminal_that_shows_chinese_in_its_own_encoding_gets_that():
    assert say(LANGUAGE="zh", PYTHONIOENCODING="gbk") == "还没有开始".encode("gbk")


def test_the_catalog_has_all_messages_and_is_compiled():
    text = PO.read_text("utf-8")
    assert catalog.update(text) == text, "course.po lacks messages, or has old ones: make catalog"
    assert catalog.compile_(text) == PO.with_suffix(".mo").read_bytes(), "run: make catalog"


def test_each_message_is_translated_and_keeps_its_places():
    messages = [message for message in catalog.read(PO.read_text("utf-8")) if message.id]
    assert messages
    for message in messages:
        assert message.string and not message.fuzzy, f"{message.id!r} is not translated."
        there, here = ([*places(text)] for text in (message.id, message.string))
        assert sorted(there) == sorted(here), f"{message.string!r} has other places than English."
        ends = [text.endswith("\n") for text in (message.id, message.string)]
        assert ends[0] == ends[1], f"{message.string!r} ends a line where English does not."


def test_each_message_keeps_to_the_style_guide():
    for message in catalog.read(PO.read_text("utf-8")):
        assert not message.id or not mistakes_of_style(message.string), message.string
        assert not [word for word in rejected_words() if word in message.string], message.string


def places(text):
    """Yield the names of the places of a format, such as "step" of "step {step:3}"."""
    for _text, name, spec, _conversion in string.Formatter().parse(text):
        if name is not None:
            yield name, spec


@pytest.mark.parametrize("step", STEPS)
def test_each_test_of_a_step_has_a_hint_in_chinese(step):
    module = importlib.import_module(f"tests.{file_of_tests(step).stem}")
    tests = {name for name in vars(module) if name.startswith("test_")}
    assert tests
    for name in tests:
        hint = CHINESE.gettext(name)
        assert HAN.search(hint) and hint.endswith("。"), f"{name} has the hint {hint!r}."


@pytest.mark.parametrize("step", STEPS)
def test_read_leads_to_the_chinese_page_and_its_heading(step, monkeypatch):
    monkeypatch.setattr(loop, "_", CHINESE.gettext)
    module = importlib.import_module(f"tests.{file_of_tests(step).stem}")
    marks = [mark for test in vars(module).values() for mark in getattr(test, "pytestmark", ())]
    lessons = {mark.args[0] for mark in marks if mark.name == "lesson"}
    for lesson in lessons:
        english = lesson if "#" in lesson else f"{step}/README.md#{lesson}"
        chinese = loop.in_language(english)
        assert ".zh-CN.md#" in chinese, f"{english} leads to {chinese}"
        assert section(chinese).startswith(loop.title_of(english))


def check_with_a_mistake(**environment):
    """Run the check of a step with a mistake; return what it shows, and the Mistake."""
    [mistake] = [m for m in read_mistakes() if m.name == "the parent waits for its child"]
    with changed(mistake.step, mistake.file, mistake.right, mistake.wrong) as copy:
        words = ["-m", "course.progress", mistake.step[4:6], "--server", copy / "server.py"]
        done = run(*words, **environment)
    assert done.returncode == 1 and not done.stderr, done.stderr.decode()
    return done.stdout.decode(), mistake


def blocks(shown):
    """Return the indented blocks of what a check shows, each with its lines."""
    return re.findall(r"^    \S.*(?:\n    \S.*)*", shown, re.MULTILINE)


def test_check_speaks_chinese_and_a_hint_precedes_the_english_message():
    shown, mistake = check_with_a_mistake(LANGUAGE="zh")
    for line in shown.splitlines():
        is_ours = line and (not line.startswith("    ") or "请读" in line)
        assert HAN.search(line) or not is_ours, f"This line has no Chinese: {line}"
    _command, name, hint, message, read, *_rest = blocks(shown)
    test = mistake.test.rpartition("::")[2]
    assert name.strip() == test
    assert "".join(hint.split()) == "".join(CHINESE.gettext(test).split())
    assert mistake.symptom in " ".join(message.split())
    assert section(read.removeprefix("    请读：")).startswith("谁和谁说话")


def test_check_in_another_locale_has_the_message_alone():
    shown, mistake = check_with_a_mistake(LANG="fr_FR.UTF-8")
    _command, name, message, read, *_rest = blocks(shown)
    assert name.strip() == mistake.test.rpartition("::")[2]
    assert mistake.symptom in " ".join(message.split()) and read.startswith("    Read: ")


@pytest.mark.parametrize("number", range(46))
def test_a_chinese_line_is_no_wider_than_an_english_one_and_no_comma_begins_it(number):
    text = (
        "字" * number
        + "字节流里可以有任何字节，空格、换行和不是 UTF-8 的字节\n都要（原样）返回。" * 4
    )
    lines = language.wrap(text)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        width = sum(2 if HAN.match(sign) or sign in "，、。（）" else 1 for sign in line)
        assert 82 < width <= 92 or (line == lines[-1] and 0 < width <= 92)
        assert line == line.strip() and "\n" not in line
        assert line[0] not in "，、。）" and line[-1] not in "（"
