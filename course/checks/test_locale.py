"""The learner's loop in Chinese: its catalog is complete, and the locale chooses it."""

import ast
import importlib
import os
import re
import string
import subprocess
import sys

import pytest

from book import __main__ as book
from course import catalog, language, loop, progress
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
        {"LANGUAGE": "de:zh"},
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
        {"LANGUAGE": "en_US:zh", "LANG": "zh_CN.UTF-8"},
        {"LANGUAGE": "de:en:zh"},
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
    """Yield the places of a format, such as "step" and "3" of "step {step:3}", or "%s"."""
    yield from re.findall(r"%(?:\(\w+\))?[rs]", text)
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


@pytest.fixture
def chinese(monkeypatch):
    """Let the loop speak Chinese in this process."""
    for module in (loop, progress):
        monkeypatch.setattr(module, "_", CHINESE.gettext)


@pytest.mark.parametrize("step", STEPS)
def test_read_leads_to_the_chinese_page_and_its_heading(step, chinese):
    module = importlib.import_module(f"tests.{file_of_tests(step).stem}")
    marks = [mark for test in vars(module).values() for mark in getattr(test, "pytestmark", ())]
    lessons = {mark.args[0] for mark in marks if mark.name == "lesson"}
    for lesson in lessons:
        english = lesson if "#" in lesson else f"{step}/README.md#{lesson}"
        page = loop.in_language(english)
        assert ".zh-CN.md#" in page, f"{english} leads to {page}"
        assert section(page).startswith(loop.title_of(english))


def test_pytest_itself_has_the_hint_and_leads_to_the_chinese_page(tmp_path):
    """The pages about mistakes run it with --course, which make check leaves out."""
    server = tmp_path / "server.py"
    server.write_text("raise SystemExit(1)")
    name = "test_64_mib_come_back"
    words = ["-m", "pytest", "-q", "--tb=line", file_of_tests(STEPS[0]), "--server", server]
    done = run(*words, "-k", name, LANGUAGE="zh")
    text = done.stdout.decode()
    assert done.returncode == 1 and CHINESE.gettext(name)[:20] in text, text
    assert "请读：step01_echo_socket/README.zh-CN.md#6-读取并应答" in text


def test_make_help_is_in_chinese():
    lines = run("-m", "course.commands", LANGUAGE="zh").stdout.decode().splitlines()
    assert "make help             列出这些命令" in lines
    assert all(line.startswith("make ") and HAN.search(line) for line in lines), lines


@pytest.mark.parametrize("name", ["arena", "book", "course.progress", "course.lab"])
def test_the_words_of_help_are_in_chinese_those_of_argparse_too(name):
    done = run("-m", name, "--help", LANGUAGE="zh", COLUMNS="100")
    lines = done.stdout.decode().split("\n")
    assert len(lines) > 5 and not [line for line in lines if line and not HAN.search(line)]
    assert not HAN.search(run("-m", name, "--help", LANGUAGE="en:zh").stdout.decode())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--replay"], "参数 --replay：后面要有一个值"),
        (["--replay", "README.md"], "参数 --replay：README.md: 这不是竞技场的录像"),
        (["--port", "x"], "参数 --port：不是有效的 port：'x'"),
        (["--server", "x"], "--server：这里没有这个 Python 文件，也没有这个程序：x"),
        (["--no"], "没有这样的参数：--no"),
    ],
)
def test_the_arena_refuses_in_chinese(words, answer):
    done = run("-m", "arena", *words, LANGUAGE="zh")
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[-1] == f"python -m arena：错误：{answer}"


@pytest.mark.skipif(os.name == "nt", reason="There is no make.")
@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("check", "要指明是哪一步：make check STEP=04"),
        ("exercise", "要指明是哪一步：make exercise STEP=04 N=1"),
        ("diff STEP=01", "没有这一步或这个阶段"),
    ],
)
def test_make_asks_for_a_step_in_chinese(words, answer):
    make = f"import os; os.execvp('make', {['make', '-n', *words.split()]})"  # nothing is installed
    for environment in ({"LANG": "zh_CN.UTF-8"}, {"LANGUAGE": "de:zh:en"}):
        done = run("-c", make, **environment)
        assert done.returncode and answer in done.stderr.decode()
    for environment in ({"LANG": "de_DE.UTF-8"}, {"LANGUAGE": "de:en_US:zh"}):
        assert not HAN.search(run("-c", make, **environment).stderr.decode())


@pytest.mark.parametrize("page", ["how-a-lesson-works", "build-your-own"])
def test_what_the_guide_shows_of_the_loop_is_what_it_says_in_chinese(page):
    text = (ROOT / "guide" / f"{page}.zh-CN.md").read_text("utf-8")
    shown = [block for block in re.findall(r"```text\n(.*?)```", text, re.S) if HAN.search(block)]
    assert shown
    said = "".join(str(message.string) for message in catalog.read(PO.read_text("utf-8")))
    for block in shown:
        whole = re.sub(r"\S+\.md\S*|(?<=[\u4e00-\uffef])\n    (?=[\u4e00-\u9fff])", "", block)
        words = re.findall(f"{HAN.pattern}+", whole)
        assert not [word for word in words if word not in said], words


def check_with_a_mistake(name, **environment):
    """Run the check of a step with a mistake; return what it shows, and the Mistake."""
    [mistake] = [mistake for mistake in read_mistakes() if mistake.name == name]
    with changed(mistake.step, mistake.file, mistake.right, mistake.wrong) as copy:
        words = ["-m", "course.progress", mistake.step[4:6], "--server", copy / "server.py"]
        done = run(*words, **environment)
    assert done.returncode == 1 and not done.stderr, done.stderr.decode()
    return done.stdout.decode(), mistake


def blocks(shown):
    """Return the indented blocks of what a check shows, each with its lines."""
    return re.findall(r"^    \S.*(?:\n    \S.*)*", shown, re.MULTILINE)


def test_check_speaks_chinese_and_a_hint_precedes_the_english_message(chinese):
    shown, mistake = check_with_a_mistake("the parent waits for its child", LANGUAGE="zh")
    for line in shown.splitlines():
        is_ours = line and (not line.startswith("    ") or "请读" in line)
        assert HAN.search(line) or not is_ours, f"This line has no Chinese: {line}"
    _command, name, hint, message, read, *_rest = blocks(shown)
    test = mistake.test.rpartition("::")[2]
    assert name.strip() == test
    assert without_spaces(hint) == without_spaces(CHINESE.gettext(test))
    assert mistake.symptom in " ".join(message.split())
    page = loop.in_language("step04_fork/README.md#who-talks-to-whom")
    assert read == f"    请读：{page}" and section(page)


def without_spaces(text):
    return "".join(text.split())


def test_the_rule_that_a_parameter_shows_has_its_hint_too():
    shown, _mistake = check_with_a_mistake("bytes taken for text", LANGUAGE="zh")
    _command, name, hint, rule, *_rest = blocks(shown)
    assert name.strip() == "test_the_echo_is_what_the_client_sent[all 256 values]"
    assert without_spaces(hint) == without_spaces(CHINESE.gettext(name.strip().partition("[")[0]))
    english = "Bytes need not be text, so the server must neither decode nor change them."
    assert without_spaces(rule) == CHINESE.gettext(english)
    assert english in " ".join(shown.split())


def test_what_has_happened_to_a_server_that_does_not_start_is_said_in_chinese(tmp_path):
    (tmp_path / "server.py").write_text("1 / 0")
    words = ["-m", "course.progress", "01", "--server", tmp_path / "server.py"]
    _command, _name, hint, happened, message, *_rest = blocks(
        run(*words, LANGUAGE="zh").stdout.decode()
    )
    assert "--port 0" in hint and "服务器还没有输出第一行就结束了" in happened
    assert "before it printed its first line" in " ".join(message.split())


@pytest.mark.parametrize("words", loop.SITUATIONS)
def test_what_has_happened_is_known_by_words_of_the_tests(words):
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "tests").glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert any(words in str(node.value) for node in nodes)


def test_an_exercise_has_its_title_its_hint_and_its_page_in_chinese(chinese, monkeypatch, capsys):
    monkeypatch.setattr(progress, "MINE", ROOT / "step02_http_server")
    assert progress.exercise("step02_http_server", 2) == 1
    title, *indented = capsys.readouterr().out.split("\n\n")
    page = loop.in_language("step02_http_server/EXERCISES.md#2-a-page-that-has-moved")
    assert f"“{section(page).splitlines()[0].removeprefix('2. ')}”还没有完成。" in title
    hint, message, read = map(str.strip, indented)
    assert without_spaces(hint) == without_spaces(CHINESE.gettext("prove_step02_2"))
    assert message.startswith("Not yet: ") and read == f"请读：{page}"


def test_an_exercise_says_in_chinese_what_has_happened(chinese, monkeypatch, capsys, tmp_path):
    (tmp_path / "server.py").write_text("raise SystemExit(1)")
    monkeypatch.setattr(progress, "MINE", tmp_path)
    assert progress.exercise("step01_echo_socket", 1) == 1
    _title, _hint, happened, message, *_rest = capsys.readouterr().out.split("\n\n")
    assert "服务器还没有输出第一行就结束了" in happened
    assert "before it printed its first line" in " ".join(message.split())


@pytest.mark.parametrize(("chosen", "page"), [("en", "index.html"), ("zh", "zh/index.html")])
def test_the_book_opens_in_the_language_of_the_reader(chosen, page, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(book, "LANGUAGE", chosen)
    monkeypatch.setattr(book, "BUILD", tmp_path)
    monkeypatch.setattr(book, "build", lambda language: None)
    monkeypatch.setattr(book.webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "argv", ["book", "--open"])
    book.main()
    assert opened == [(book.SITE / page).as_uri()]


def test_check_in_another_locale_has_the_message_alone():
    shown, mistake = check_with_a_mistake("the parent waits for its child", LANG="fr_FR.UTF-8")
    _command, name, message, read, *_rest = blocks(shown)
    assert name.strip() == mistake.test.rpartition("::")[2]
    assert mistake.symptom in " ".join(message.split()) and read.startswith("    Read: ")


@pytest.mark.parametrize("number", range(46))
def test_a_chinese_line_is_no_wider_than_an_english_one_and_no_comma_begins_it(number):
    text = "字" * number + "字节流里可以有任何字节，\n空格和不是 UTF-8 的字节都要（原样）返回。" * 4
    lines = language.wrap(text)
    assert without_spaces("".join(lines)) == without_spaces(text)
    for line in lines:
        width = sum(2 if HAN.match(sign) or sign in "，、。（）" else 1 for sign in line)
        assert 82 < width <= 92 or (line == lines[-1] and 0 < width <= 92)
        assert line == line.strip() and "\n" not in line
        assert line[0] not in "，、。）" and line[-1] not in "（"
