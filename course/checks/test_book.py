"""The book is complete: its links lead somewhere, and its pages need no script or other site."""

import contextlib
import fcntl
import functools
import html
import http.server
import os
import posixpath
import re
import subprocess
import sys
import threading
from itertools import pairwise
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from book.__main__ import BUILD, FOLDERS, SITE, build
from book.diagrams import FOLDER, diagrams, in_words
from book.differences import explanations, find_block, find_line, find_lines, rows_of
from book.pages import Sources
from course.browser import needs_chromium
from course.chinese import says_behind
from course.facts import BEHIND, STAGES, headings
from tests.harness import ROOT, STEPS, wait_until

pytestmark = pytest.mark.timeout(600)  # of a busy machine
PARTS = 4  # of all pages, which several workers look at
NO_CONTRAST = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": False}}}
# One page of each kind: axe looks at their contrast, and at them in the dark, on a phone and in
# Chinese, too. Chinese pages have the parts of the English ones, and all code is shown alike.
KINDS = [
    "index.html",
    "GLOSSARY.html",
    "step05_zombies/index.html",
    "step05_zombies/diff.html",
    "notebooks/05_zombies.html",
    "tests/test_step05_zombies.py.html",
    "search.html",
]

# The text of an element, as the browser has broken it into lines.
LINES = """element => {
  const lines = new Map();
  const range = document.createRange();
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    for (let i = 0; i < text.length; i++) {
      range.setStart(text, i);
      range.setEnd(text, i + 1);
      const top = range.getBoundingClientRect().top;
      lines.set(top, (lines.get(top) ?? "") + text.data[i]);
    }
  }
  return [...lines.values()];
}"""

# What a page says around its article: texts, names and hints.
FRAME = """() => {
  const said = [];
  const walker = document.createTreeWalker(document.body);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if ((node.parentElement ?? node).closest("article, script, style")) continue;
    const names = ["aria-label", "title", "placeholder"].map((name) => node.getAttribute?.(name));
    said.push(...[node.nodeValue, ...names].filter((words) => words?.trim()));
  }
  return said.map((words) => words.trim());
}"""

# The parts of a page that are too narrow for their lines or pictures.
CUT = """[...document.querySelectorAll("article :is(pre, p)")]
  .filter(part => part.scrollWidth > part.clientWidth)
  .map(part => part.outerHTML.slice(0, 80))"""

# The beginnings of the blocks of Python, and of diffs, that are too narrow for their lines.
CODE = ":is(.highlight-python, .highlight-py, .highlight-diff) pre"
SCROLLING = f"""[...document.querySelectorAll("{CODE}")]
  .filter(block => block.scrollWidth > block.clientWidth)
  .map(block => block.textContent.slice(0, 40))"""


@pytest.fixture(scope="module")
def book():
    """The names of all pages. Of several workers the first one builds them, and the others wait."""
    BUILD.mkdir(parents=True, exist_ok=True)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "no workers")
    with open(BUILD / "lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if run == "no workers" or lock.read() != run:
            command = [sys.executable, "-m", "book"]
            env = os.environ | {"LC_ALL": "xx_XX.UTF-8"}  # a machine may lack its user's locale
            built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
            assert built.returncode == 0, f"The book is not without a warning:\n{built.stderr}"
            lock.truncate(0)
            lock.write(run)
    return sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the site, and logs nothing."""

    def log_message(self, *_):
        """Do not log."""


@pytest.fixture(scope="module")
def site(book):
    """The address of the book, served as a web server does."""
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def read(name):
    """Return a page of the book without what its scripts hold."""
    text = (SITE / name).read_text("utf-8")
    return re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_a_build_that_was_interrupted_is_made_whole_by_the_next_one(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr("book.__main__.write_sources", lambda *_: None)
    monkeypatch.setitem(FOLDERS, "en", tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    build("en")
    (tmp_path / "searchindex.js").touch()  # what Sphinx writes last
    build("en")
    assert ["--write-all" in command for command in commands] == [True, False]


def test_each_link_of_the_book_leads_to_a_page_and_a_place(book):
    texts = {name: read(name) for name in book}
    ids = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in texts.items()}
    broken = []
    for name, text in texts.items():
        for link in set(re.findall(r'<\w[^<>]*? (?:href|src)="([^"]+)"', text)):
            scheme, _, path, _, anchor = urlsplit(link)
            if scheme:
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(path)))
            target = name if not path else target
            anchor = unquote(anchor)
            is_there = (SITE / target).is_file()
            if not is_there or (anchor and target in ids and anchor not in ids[target] | {"top"}):
                broken.append(f"{name}: {link}")
    assert not broken, "\n".join(broken)


def test_each_page_has_its_language_and_a_switch_to_the_same_page_in_the_other(book):
    english = [name for name in book if not name.startswith("zh/")]
    assert [name for name in book if name.startswith("zh/")] == [f"zh/{name}" for name in english]
    pages = (ROOT / "notebooks").glob("*.zh-CN.md")
    translated = [f"notebooks/{path.name.removesuffix('.zh-CN.md')}.html" for path in pages]
    for name in english:
        up = "../" * name.count("/")
        assert '<html class="no-js" lang="en"' in read(name)
        assert f'href="{up}zh/{name}"' in read(name), f"{name} has no switch to Chinese."
        chinese = read(f"zh/{name}")
        assert '<html class="no-js" lang="zh-CN"' in chinese
        assert f'href="../{up}{name}"' in chinese, f"zh/{name} has no switch to English."
        english_words = "<span>(Next|Previous)</span>|>Home<|>Build your own web server<"
        assert not re.search(english_words, chinese), f"The frame of zh/{name} is not Chinese."
        if name.startswith(("notebooks/", "tests/")) and name not in translated:
            assert '<div lang="en">' in chinese, f"zh/{name}: its English counts as Chinese."


@pytest.mark.parametrize("edition", ["", "zh/"])
def test_each_page_of_code_says_whose_it_is_and_leads_back(book, edition):
    pages = {name: read(name) for name in book if 'class="linenos"' in read(name)}
    pages = {name: text for name, text in pages.items() if name.startswith("zh/") == bool(edition)}
    titles = {re.search("<title>(.+?)</title>", text)[1] for text in pages.values()}
    assert len(titles) == len(pages) > 25, "Two of them have the same title."
    for name, text in pages.items():
        line = re.search(r"</h1>\s*<p>.+?</p>", text, re.DOTALL)[0]
        links = re.findall('href="([^"]+)"', line)
        targets = [posixpath.normpath(posixpath.join(posixpath.dirname(name), a)) for a in links]
        if step := next((step for step in STEPS if step in name), None):
            assert targets == [f"{edition}{step}/index.html", f"{edition}{step}/diff.html"]
        else:
            assert len(targets) == 1, f"{name} leads to {targets}"


def test_the_chinese_glossary_begins_each_term_in_chinese_and_leads_to_chinese_pages(book):
    text = read("zh/GLOSSARY.html")
    first = re.findall(r"</h2>\s*<p>(.{23})", text)
    assert len(first) > 100
    assert set(first[:-1]) == {'<span lang="zh-CN"><str'}
    article = text.partition("<article")[2].partition("</article>")[0]
    assert not re.findall(r'href="\.\./[^"]+"', article), "It leads to English pages."


def test_each_picture_has_words_for_who_does_not_see_it(book):
    pictures = (re.findall(r'<img[^>]* alt="([^"]*)"', read(name)) for name in book)
    words = {html.unescape(alt) for found in pictures for alt in found}
    assert len(words) > 30
    assert not [alt for alt in words if len(alt) < 4 or alt.endswith((".png", ".svg", " "))]
    assert any('application to server: start_response("200 OK", headers)' in alt for alt in words)
    assert any("内核 到 父进程：SIGCHLD 打断 accept；" in alt for alt in words)


def test_a_sequence_diagram_has_words_for_each_of_its_lines():
    text = """sequenceDiagram
    participant server
    participant A as client A (curl, a browser)
    A->>server: connect
    Note over A,server: It exists now.<br/>Nobody knows.
    server->>server: accept
    server-->>A: 200 OK, after a second
"""
    said = "client A to server: connect; server: It exists now. Nobody knows; server: accept; "
    assert in_words(text, "en") == said + "server to client A: 200 OK, after a second."
    assert in_words("flowchart LR\n    a --> b", "en") == ""


def test_a_click_on_a_diagram_opens_it_in_its_full_size(book):
    count = 0
    for name in book:
        diagrams_there = re.findall(r'<img [^>]*src="([^"]+/[0-9a-f]{16}\.svg)"', read(name))
        links = re.findall(r'href="([^"]+)"><img [^>]*src="\1"', read(name))
        assert links == diagrams_there, name
        count += len(links)
    assert count > 10


def test_the_words_of_a_picture_may_take_two_lines(tmp_path):
    text = "![The arena after\nten seconds](arena/pictures/arena.png)"
    found = Sources(tmp_path, "en").convert(text, ROOT / "README.md")
    assert found == text.replace("\n", " ")


@pytest.mark.parametrize("step", STEPS[1:])
def test_the_diff_page_has_each_explanation_of_the_lesson_beside_its_line(book, step):
    texts = explanations(step, None, "en")
    assert len(texts) > 3
    if new := {"step02_http_server": "http_message.py", "step03_wsgi": "wsgi.py"}.get(step):
        code = (ROOT / step / new).read_text("utf-8")
        for text in explanations(step, STAGES[step], "en"):
            if all(line in code for line in text.code.splitlines()):
                texts.append(text)
    for folder in (step, f"zh/{step}"):
        shown = re.findall('<p lang="(?:en|zh-CN)">', read(f"{folder}/diff.html"))
        assert len(shown) == len(texts)
        link = r'<h2>(The diff|差异)<a.*?</h2>\s*<p><a [^>]*href="diff.html">'
        assert re.search(link, read(f"{folder}/index.html")), f"{folder} does not lead to its diff."


@pytest.mark.parametrize("step", STEPS[1:])
def test_each_explanation_has_its_chinese(step):
    for stage in [None, *range(1, STAGES[step] + 1)] if STAGES[step] > 1 else [None]:
        page = "README" if not stage else "STAGES" if stage < STAGES[step] else "ARMOUR"
        if says_behind(ROOT / step / f"{page}.md"):
            continue
        texts = explanations(step, stage, "zh")
        assert {text.language for text in texts} == {"zh-CN"}, (
            f"{page}.zh-CN.md of {step} does not explain the lines or functions that the English "
            f"page explains (stage {stage}), in this order: {[text.code for text in texts]}"
        )


def test_each_diagram_is_drawn_from_its_words_of_today():
    wanted, stored = diagrams(), {*FOLDER.glob("*.svg")}
    assert stored == wanted.keys(), "Run .venv/bin/python -m book.diagrams"
    for path in wanted:
        assert re.match(r'<svg [^>]*\bwidth="\d+(\.\d+)?" height="\d', path.read_text("utf-8"))


def test_a_diagram_that_is_not_drawn_yet_is_shown_in_its_words(tmp_path, capsys):
    sources, page = Sources(tmp_path, "en"), ROOT / "README.md"
    text = sources.convert("# Title\n\n```mermaid\nflowchart LR\nnew --> one\n```\n", page)
    assert text == "# Title\n\n```text\nflowchart LR\nnew --> one\n```\n"
    assert "book.diagrams" in capsys.readouterr().out


def test_a_part_that_lags_behind_says_so_and_leads_to_the_english_one(tmp_path):
    page = ROOT / "step05_zombies" / "README.zh-CN.md"
    english, own = (list(headings(path)) for path in (page.with_name("README.md"), page))
    number = own.index("差异")
    text = page.read_text("utf-8").replace("## 差异\n", f"## 差异\n\n{BEHIND}\n")
    found = Sources(tmp_path, "zh").convert(text, page)
    address = f"other:../../step05_zombies/index.html#{english[number]}"
    warning = f"## 差异\n\n```{{attention}}\n本节落后于英文版。请以[英文版]({address})为准。\n```\n"
    assert warning in found


ARTICLE = """() => {
  const article = document.querySelector("article").cloneNode(true);
  for (const part of article.querySelectorAll(".replay, .copybtn, script, noscript")) part.remove();
  return article.textContent.replace(/\\s+/g, " ");
}"""


def test_an_explanation_of_a_class_does_not_stand_beside_a_method():
    old = ["class Reader:", "    def receive(self):", "        pass"]
    files = old, [*old[:2], "        return 1"]
    rows = rows_of(*files)
    assert find_block("receive", *files, rows) == 2
    assert find_block("Reader", *files, rows) is None


def test_an_explanation_of_lines_stands_beside_them_where_one_has_changed():
    new = ["def work():", "    if pid:", "        close()", "    if pid:", "        end()"]
    files = [*new[:4], "        pass"], new
    rows = rows_of(*files)
    assert rows[find_lines("if pid:\n    end()", *files, rows)].new == 4
    assert find_lines("if pid:\n    close()", *files, rows) is None
    assert find_lines("if pid:\n    wait()", *files, rows) is None


def test_lines_that_are_alike_stand_beside_each_other_and_others_one_below_the_other():
    assert [row[:2] for row in rows_of(["a = fork()"], ["b = fork()"])] == [(0, 0)]
    assert [row[:2] for row in rows_of(["a = 1"], ["wait()"])] == [(0, None), (None, 0)]
    assert [row[:2] for row in rows_of(["a"], ["a1", "a2"])] == [(0, None), (None, 0), (None, 1)]


def test_an_explanation_of_a_line_that_is_not_there_stops_the_build():
    rows = rows_of([], ["pid = os.fork()"])
    assert find_line("pid = os.f...()", ["pid = os.fork()"], rows, 0) == 0
    with pytest.raises(AssertionError, match=r"does not show the line 'os\.wait"):
        find_line("os.wait()", ["pid = os.fork()"], rows, 0)


@needs_chromium
@pytest.mark.parametrize("part", range(PARTS))
def test_each_page_fits_loads_nothing_from_elsewhere_and_is_complete_without_script(
    book, site, browser, part
):
    """On English pages axe looks for barriers, too, other than contrast, which takes it seconds."""
    axe, found = Axe(), []

    def watch(page):
        page.on("console", lambda message: found.append(f"{page.url}: {message.text}"))
        page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
        page.on("request", lambda request: look(page, request.url))
        page.on("requestfailed", lambda request: found.append(f"{page.url}: {request.url} fails"))
        page.on("response", lambda response: look(page, response.url, response.status))

    def look(page, url, status=200):
        if status >= 400 or not url.startswith((site, "data:")):
            found.append(f"{page.url}: {status} {url}")

    with contextlib.ExitStack() as stack:
        pages = []
        for script in (True, False):
            context = browser.new_context(java_script_enabled=script)
            stack.enter_context(contextlib.closing(context))
            pages.append(context.new_page())
            watch(pages[-1])
        for name in book[part::PARTS]:
            if name.endswith("search.html"):
                continue
            texts = []
            for page in pages:
                page.goto(f"{site}/{name}")
                texts.append(page.evaluate(ARTICLE))
            if texts[0] != texts[1] or len(texts[0]) < 100:
                found.append(f"{name} is not the same without script.")
            if not name.startswith("zh/") and not name.endswith(".py.html"):
                barriers = axe.run(pages[0], options=NO_CONTRAST)
                if barriers.violations_count:
                    found.append(f"{name}: {barriers.generate_report()}")
            for width in (390, 1280):
                pages[0].set_viewport_size({"width": width, "height": 900})
                is_wide = pages[0].evaluate("document.documentElement.scrollWidth")
                if is_wide > width:
                    found.append(f"{name} is {is_wide} pixels wide on a screen of {width}.")
            if scrolling := pages[0].evaluate(SCROLLING):  # at 1280 pixels
                found.append(f"{name}: to the end of these lines one must scroll: {scrolling}")
    assert not found, "\n".join(found)


@needs_chromium
@pytest.mark.parametrize("name", KINDS)
def test_axe_finds_no_barrier(book, site, browser, name):
    for address, scheme, width in [
        (name, "light", 1280),
        (name, "dark", 390),
        (f"zh/{name}", "light", 1280),
    ]:
        size = {"width": width, "height": 900}
        with contextlib.closing(browser.new_context(color_scheme=scheme, viewport=size)) as context:
            page = context.new_page()
            page.goto(f"{site}/{address}")
            found = Axe().run(page)
        report = f"{address}, {scheme}, {width}: {found.generate_report()}"
        assert found.violations_count == 0, report


@needs_chromium
@pytest.mark.parametrize(
    ("folder", "word", "wanted"),
    [
        ("", "zombie", "step05_zombies/index.html"),
        ("", "僵尸", "GLOSSARY.html"),
        ("zh/", "zombie", "zh/GLOSSARY.html"),
        ("zh/", "僵尸", "zh/step05_zombies/index.html"),
        ("zh/", "有序停止", "zh/step05_zombies/index.html"),
        ("zh/", "内核", "zh/GLOSSARY.html"),
        ("zh/", "分块传输编码", "zh/step03_wsgi/index.html"),
    ],
)
def test_the_search_finds_a_word_in_both_languages(site, page, folder, word, wanted):
    page.goto(f"{site}/{folder}index.html")
    box = page.get_by_role("textbox")
    box.fill(word)
    box.press("Enter")
    page.wait_for_selector("ul.search li a")
    links = page.locator("ul.search li a")

    def addresses():
        return {urlsplit(link.get_attribute("href")).path.lstrip("/") for link in links.all()}

    wait_until(
        lambda: any(posixpath.join(folder, address) == wanted for address in addresses()),
        lambda: f"It finds {addresses()}",
    )


@needs_chromium
def test_the_search_of_a_book_that_was_opened_as_a_file_complains_of_nothing(book, page):
    page.goto(f"{(SITE / 'search.html').as_uri()}?q=zombie")
    page.get_by_text("Search finished, found").wait_for()
    assert page.locator("ul.search li a").count() > 10
    assert not page.complaints, f"The browser's console shows: {page.complaints}"


@needs_chromium
@pytest.mark.parametrize(
    ("clicks", "answer"),
    [
        (["lesson of step 1"], "Step 1: A socket that echoes"),  # where do I begin?
        (["step04_fork", "Diff from step 3"], "What step 4 changes"),  # what changed from 3 to 4?
        (["zombie"], "A process that has ended and for which nobody has waited."),
        (["Build your own"], "make check STEP=03"),  # how do I test mine?
        (["step02_http_server", "Notebook"], "2. A web server"),
    ],
)
def test_a_newcomer_finds_each_answer_with_two_clicks_from_the_first_page(
    site, page, clicks, answer
):
    page.goto(f"{site}/index.html")
    for name in clicks:
        links = page.get_by_role("link", name=name, exact=True)
        next(link for link in links.all() if link.is_visible()).click()
    found = page.get_by_role("main").get_by_text(answer).first
    found.wait_for()
    height = page.viewport_size["height"]
    wait_until(lambda: 0 <= found.bounding_box()["y"] < height, "It is there, and nobody sees it.")


@needs_chromium
def test_the_switch_of_languages_stays_on_the_page(site, page):
    page.goto(f"{site}/step04_fork/diff.html")
    for language, name, address in [
        ("zh-CN", "中文", "/zh/step04_fork/diff.html"),
        ("en", "English", "/step04_fork/diff.html"),
    ]:
        page.get_by_role("navigation", name=name).get_by_role("link").click()
        page.wait_for_url(site + address)
        assert page.locator("html").get_attribute("lang") == language


@needs_chromium
@pytest.mark.parametrize("name", ["step05_zombies/index.html", "search.html"])
def test_the_frame_of_a_chinese_page_is_chinese(site, page, name):
    page.goto(f"{site}/zh/{name}")
    said = page.evaluate(FRAME)
    english = {words for words in said if re.search("[A-Za-z]{2}", words) and words.isascii()}
    english |= {words for words in said if re.search("[A-Za-z]{2,} [A-Za-z]{2,}", words)}
    names = {words for words in english if words.endswith(".py")} | {"Sphinx", "@pradyunsg", "Furo"}
    assert english - names == {"English", "This page in English"}, "The theme says it in English."
    assert {"跳到正文", "回到顶部"} <= set(said)


@needs_chromium
def test_an_answer_unfolds_by_the_keyboard(site, page):
    page.goto(f"{site}/step05_zombies/index.html")
    fold = page.locator("details", has_text="It runs once, because the kernel does not count").last
    assert not fold.locator("p").first.is_visible()
    fold.locator("summary").press("Enter")
    assert fold.locator("p").first.is_visible()


@needs_chromium
def test_paper_has_what_is_folded_in_a_diff(site, page):
    page.goto(f"{site}/step04_fork/diff.html")
    fold = page.locator(".diff details").first
    folded = fold.bounding_box()["height"]
    page.emulate_media(media="print")
    assert fold.bounding_box()["height"] > 2 * folded


@needs_chromium
def test_paper_has_each_answer_and_the_whole_of_what_scrolls(site, page):
    page.set_viewport_size({"width": 700, "height": 1000})  # A4 without its margins
    page.goto(f"{site}/step05_zombies/index.html")
    folded = page.locator("article details:not(.lifelines *) > :not(summary)").all()
    assert len(folded) > 5
    assert not any(part.is_visible() for part in folded)
    cut = page.evaluate(CUT)
    assert any("<pre" in part for part in cut) and any("<img" in part for part in cut)
    page.emulate_media(media="print")
    assert all(part.is_visible() for part in folded)
    assert not page.evaluate(CUT)


@needs_chromium
def test_a_diff_page_unfolds_what_is_the_same(site, page):
    page.goto(f"{site}/step04_fork/diff.html")
    row = page.locator("tr", has=page.locator("ins", has_text="pid = os.fork()"))
    assert "two processes run" in row.locator(".why").inner_text()
    old, new = row.locator(".old").bounding_box(), row.locator(".new").bounding_box()
    assert abs(old["y"] - new["y"]) < 1 and old["x"] < new["x"], "The files are not side by side."
    code = page.locator(".new code", has_text="http://{host}:{port}")
    lines = code.evaluate(LINES)
    assert len(lines) > 1, "The line is short enough, so this sees no break."
    assert " ".join(lines).split() == code.inner_text().split(), "A word stands on two lines."
    fold = page.locator("details", has_text="def listen").first
    assert not fold.get_by_text("listen").first.is_visible()
    fold.locator("summary").click()
    assert fold.get_by_text("listen").first.is_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator("details", has_text="formatter_class").last.locator("summary").click()
    code = page.locator(".new code", has_text="formatter_class").first
    lines = [line.strip() for line in code.evaluate(LINES)]
    assert lines == ["formatter_class=argparse.", "ArgumentDefaultsHelpFormatter,"]


@needs_chromium
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("index.html", "sh", "client.py hello"),
        ("step02_http_server/STAGES.html", "py", "Send each argument"),
    ],
)
def test_what_one_types_or_saves_has_a_button_that_copies_it(site, page, name, kind, words):
    page.goto(f"{site}/{name}")
    block = page.locator(f".highlight-{kind}", has_text=words)
    code = block.locator("pre").inner_text().strip()
    block.hover()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    block.get_by_role("button", name="Copy").click()
    copied = "navigator.clipboard.readText()"
    wait_until(lambda: page.evaluate(copied).strip() == code, "The button copies nothing.")


@needs_chromium
def test_code_breaks_where_its_words_end(site, page):
    """No line ends inside an option, nor inside a word of a test's name.

    And a laptop of 1366 pixels, which shows both sidebars, has room for each line of code.
    """
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{site}/step01_echo_socket/BREAK_IT.html")
    option = page.locator("code .pre", has_text="--course")
    assert option.evaluate("word => word.getClientRects().length") == 1
    name = "test_no_byte_is_lost_when_send_takes_less_than_it_was_given"
    lines = page.locator("code .pre", has_text=name).evaluate(LINES)
    assert "".join(lines) == name
    assert len(lines) > 1, "The name is short enough for one line, so this sees no break."
    assert all(line.endswith("_") for line in lines[:-1]), lines
    page.set_viewport_size({"width": 1366, "height": 768})
    assert not page.evaluate(SCROLLING)


@needs_chromium
def test_on_a_phone_a_chinese_heading_breaks_at_a_sign(site, page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site}/zh/notebooks/02_http_server.html")
    headings = page.locator("article :is(h1, h2, h3)").evaluate_all(f"all => all.map({LINES})")
    texts = [[line for line in lines if line != "¶"] for lines in headings]  # its link is hidden
    ends = [line[-1] for lines in texts for line in lines[:-1]]
    assert ends and not any(end.isalnum() for end in ends), texts


@needs_chromium
def test_on_a_phone_no_word_of_code_in_a_table_is_cut(site, page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site}/zh/step03_wsgi/index.html")
    words = page.locator(".table-wrapper code .pre").evaluate_all(f"all => all.map({LINES})")
    assert len(words) > 30
    cut = [lines for lines in words for line in lines[:-1] if line[-1].isalnum()]
    assert not cut


@needs_chromium
def test_a_long_explanation_stretches_no_line_of_code(site, page):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{site}/step02_http_server/diff-stage5.html")
    room = """rows => rows.map(row => row.offsetHeight - Math.max(
      ...[...row.querySelectorAll("code")].map(code => code.offsetHeight)))"""
    rooms = page.locator(".diff tbody tr:not(.fill)").evaluate_all(room)
    assert len(rooms) > 100 and max(rooms) < 6, "pixels of a row above and below its code"


@needs_chromium
def test_on_a_phone_no_line_of_a_diff_covers_another(site, page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site}/step02_http_server/diff-stage5.html")
    lines = ".diff > table tbody tr:not(.fill) :is(.old, .new) code"
    boxes = page.locator(lines).evaluate_all(
        "all => all.map(code => code.getBoundingClientRect()).filter(box => box.height)"
    )
    assert len(boxes) > 100
    assert all(one["bottom"] <= other["top"] + 1 for one, other in pairwise(boxes))


@needs_chromium
def test_a_figure_plays_and_steps(site, page):
    page.goto(f"{site}/step04_fork/index.html")
    figure = page.locator("figure.replay")
    twin = figure.locator("[data-lane=step04_fork] .twin")
    assert twin.inner_text() == "5 zombies", "It does not begin as the picture shows it."
    clock = figure.locator(".axis text").first
    end = clock.text_content()
    figure.get_by_role("button", name="Play").click()
    wait_until(lambda: clock.text_content() != end, "It does not play.")
    figure.get_by_role("button", name="Pause").click()
    paused = clock.text_content()
    figure.get_by_role("button", name="Step", exact=True).click()
    assert clock.text_content() != paused, "It makes no step."
    assert not page.complaints, f"The browser's console shows: {page.complaints}"


@needs_chromium
def test_on_a_phone_no_word_of_a_figure_is_cut(site, page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site}/step02_http_server/index.html")
    width = page.locator("figure.replay .plot").bounding_box()["width"]
    label = page.locator("figure.replay .labels text", has_text="408 Request Timeout")
    end = label.evaluate("text => text.getBBox().x + text.getBBox().width")
    assert end <= width + 1


@needs_chromium
def test_a_figure_of_the_chinese_edition_is_chinese(site, page):
    page.goto(f"{site}/zh/step04_fork/index.html")
    lane = page.locator("figure.replay [data-lane=step04_fork]")
    assert lane.locator(".twin").inner_text() == "有 5 个僵尸进程"
    assert lane.locator("h2").inner_text() == "第 4 步 谁也不用等，可是没有人善后。"


@needs_chromium
def test_a_figure_is_a_picture_and_words_without_script(site, browser):
    with contextlib.closing(browser.new_context(java_script_enabled=False)) as context:
        page = context.new_page()
        page.goto(f"{site}/step04_fork/index.html")
        figure = page.locator("figure.replay")
        assert figure.locator("img").get_attribute("alt")
        assert figure.locator("img").evaluate("image => image.naturalWidth") > 600
        assert "there are five" in figure.locator("figcaption").inner_text()
