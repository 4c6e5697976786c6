"""The pages of the book, made from the course's own files, which stay as they are.

A page of the book is a README, a notebook, a file of code that a page links, or a diff. Each
language has all of them: a page that is not translated is there in English.
"""

import functools
import json
import os
import re
from pathlib import Path

from book.diagrams import file_of, in_words
from book.differences import CODES, diff_page
from book.figures import add_figure
from course.chinese import BILINGUAL, chinese_of, english_of, translate
from course.facts import BEHIND, PAGE_BEHIND, STAGES, headings, without_blocks
from tests.harness import ROOT, STEPS

LANGUAGES = {"en": "en", "zh": "zh_CN"}  # as Sphinx names them
WORDS = {
    "en": {
        "title": "Build your own web server",
        "begin": "Begin",
        "steps": "The six steps",
        "teach": "Teach",
        "more": "More",
        "how": "How a lesson works",
        "own": "Build your own",
        "breaks": "When a demonstration breaks",
        "lab": "Start the notebooks",
        "lesson": "Lesson",
        "STAGES": "Stages",
        "ARMOUR": "Armour",
        "BREAK_IT": "Break it",
        "EXERCISES": "Exercises",
        "notebook": "Notebook",
        "diff": "Diff from step {}",
        "first diff": "The code",
        "stage": "Diff of stage {}",
        "tests": "Tests",
        "code of step": "{} of step {}",
        "tests of step": "The tests of step {}",
        "teaching": "Teaching",
        "glossary": "Glossary",
        "road": "The road from here",
        "benchmarks": "Benchmarks",
        "results": "Results",
        "ideas": "Index of ideas",
        "contributing": "Contributing",
        "diagram": "Diagram: {}. ",
        "both": "[Both versions side by side](diff.md).",
        "only": "This page is in Chinese only.",
        "behind": "",
    },
    "zh": {
        "title": "自己动手写 Web 服务器",
        "begin": "开始",
        "steps": "六个步骤",
        "teach": "教学",
        "more": "更多",
        "how": "怎样学一课",
        "own": "自己写服务器",
        "breaks": "演示出了问题怎么办",
        "lab": "开始用笔记本",
        "lesson": "课文",
        "STAGES": "阶段",
        "ARMOUR": "防护",
        "BREAK_IT": "弄坏它",
        "EXERCISES": "练习",
        "notebook": "笔记本",
        "diff": "与第 {} 步的差异",
        "first diff": "代码",
        "stage": "阶段 {} 的差异",
        "tests": "测试",
        "code of step": "第 {1} 步的 {0}",
        "tests of step": "第 {} 步的测试",
        "teaching": "教学",
        "glossary": "词汇表",
        "road": "接下来往哪里走",
        "benchmarks": "性能测试",
        "results": "测得的数据",
        "ideas": "概念索引",
        "contributing": "参与贡献",
        "diagram": "图：{}。",
        "both": "[两个版本并排对照](diff.md)。",
        "only": "本页只有英文。",
        "behind": "请以[英文版]({})为准。",
    },
}
SWITCH = re.compile(r"(?: · )?\[(?:中文版|中文|English)\]\([^)]*\.md\)(?: · )?")
BLOCK_OR_LINK = re.compile(
    r"(?P<block>^[ >]*(?P<fence>`{3,})(?P<kind>\w*)\n(?P<text>.*?)^[ >]*(?P=fence)[ ]*$)"
    r"|(?<=\]\()(?P<link>[^)\s]+)(?=\))",
    re.DOTALL | re.MULTILINE,
)
WORDS_OF_PICTURE = re.compile(r"!\[[^]]*\]\(")
DIFF = re.compile("^## (?:The diff|差异)$", re.MULTILINE)
WIDTH = re.compile(r'<svg [^>]*\bwidth="([\d.]+)"')
LAGS = re.compile(f"^({BEHIND}|{PAGE_BEHIND})$", re.MULTILINE)
CHINESE = re.compile(
    r"(?P<before> · |^)\*\*[^*\n]+\*\*　.+$|(?P<item>^- )\w：.+$|^[一-鿿].+$", re.MULTILINE
)
TERM = re.compile(
    r"^(?P<english>.+)\n\n\[.+?\]\(.+?\) · (?P<chinese>\*\*[^*\n]+\*\*　.+)$", re.MULTILINE
)


def pages():
    """Return the Markdown files and notebooks that the book has, as paths in the repository."""
    found = [ROOT / name for name in ("README.md", "GLOSSARY.md", "TEACHING.md")]
    found.append(ROOT / ".github" / "CONTRIBUTING.md")
    folders = ("step*", "guide", "teaching", "benchmarks", "benchmarks/results")
    for folder in folders:  # make bench-quick leaves others, which git ignores
        found += ROOT.glob(f"{folder}/*.md")
    found = [path for path in found if not path.name.endswith(".zh-CN.md")]
    found.append(ROOT / ".github" / "TRANSLATING.zh-CN.md")  # of which there is no English one
    return sorted([*found, *ROOT.glob("notebooks/*.ipynb")])


def place(path):
    """Return where a file of the repository is in the book's sources: both are relative paths.

    README.md is the index of its folder. A file of code becomes a page that shows it.
    """
    kind = ".ipynb" if path.parent.name == "notebooks" else ".md"
    name = path.as_posix().lstrip(".").replace(".zh-CN.md", kind)
    name = re.sub(r"(^|/)README\.md$", r"\1index.md", name)
    is_page = name.endswith((".md", ".ipynb", ".png", ".svg"))
    return Path(name if is_page else f"{name}.md")


class Sources:
    """The sources of one language: what Sphinx reads, written into a folder."""

    def __init__(self, folder, language):
        self.folder, self.language, self.words = folder, language, WORDS[language]
        self.written = set()

    def write(self, name, content):
        """Write a file, unless it is there already: Sphinx reads again only what has changed."""
        path = self.folder / name
        self.written.add(path)
        data = content if isinstance(content, bytes) else content.encode()
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def finish(self):
        """Remove what an earlier run has written and this one has not."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path not in self.written:
                path.unlink()

    def source_of(self, path):
        """Return the file that has a page's text, and the language of that: this one, if it has."""
        if self.language == "zh" and chinese_of(path).is_file():
            return chinese_of(path), "zh"
        return path, "zh" if path.name.endswith(".zh-CN.md") else "en"

    def link(self, target, source):
        """Return a link of a page, such as ../step03_wsgi/README.md#environ, as the book needs it.

        source: the Path of the page. A file of code that is linked gets a page. Raises
        FileNotFoundError if there is no such file.
        """
        if target.startswith(("http:", "https:", "mailto:")):
            return target
        name, hash_sign, anchor = target.partition("#")
        path = Path(os.path.normpath(source.parent / name)) if name else source
        if not path.is_file():
            raise FileNotFoundError(f"{source.relative_to(ROOT)} links {target}")
        is_chinese, path = path.name.endswith(".zh-CN.md"), english_of(path) or path
        translated = chinese_of(path)
        if translated.is_file() and is_chinese and self.language == "en":
            return self.other(path, anchor, source)
        if translated.is_file() and self.language == "zh":
            if source in BILINGUAL and not is_chinese:
                return self.other(path, anchor, source)
            if anchor and path.suffix == ".md":
                english, own = list(headings(path)), list(headings(translated))
                if anchor in english and len(own) == len(english):  # they match one to one
                    anchor = own[english.index(anchor)]
                elif anchor in english:
                    return self.other(path, anchor, source)
        if not name:
            return f"#{anchor}"
        path = path.relative_to(ROOT)
        if place(path).suffix in (".png", ".svg"):
            self.write(place(path), (ROOT / path).read_bytes())
        elif place(path).name == f"{path.name}.md":
            self.write_code(path, source)
        here = place(source.relative_to(ROOT)).parent
        return os.path.relpath(place(path), here).replace(os.sep, "/") + hash_sign + anchor

    def other(self, path, anchor, source):
        """Return a link to a page of the book in the other language, or to a section of it."""
        own, others = ("zh", ".") if self.language == "zh" else (".", "zh")
        here = Path(own) / place(source.relative_to(ROOT)).parent
        there = Path(others) / place(path.relative_to(ROOT)).with_suffix(".html")
        return f"other:{os.path.relpath(there, here).replace(os.sep, '/')}#{anchor}"

    def write_code(self, path, source):
        """Write the page of a file of code, unless it is written already.

        source: a page that links it. The page leads to its step, or else back to that page.
        """
        if self.folder / place(path) in self.written:
            return
        is_test = path.parts[0] == "tests"
        step = path.stem.removeprefix("test_") if is_test else path.parent.as_posix()
        page = ROOT / step / "README.md" if step in STEPS else source
        address = self.link(os.path.relpath(page, ROOT / path.parent), ROOT / path)
        title, links, orphan = path.name, f"[]({address})", "orphan: true\n"
        if step in STEPS:
            number = STEPS.index(step) + 1
            title = self.words["code of step"].format(path.name, number)
            if is_test:
                title, orphan = self.words["tests of step"].format(number), ""
            diff = os.path.relpath(f"{step}/diff.md", path.parent).replace(os.sep, "/")
            links = f"[{self.words['lesson']}]({address}) · [{self.diff_name(step)}]({diff})"
        kinds = {".py": "python", ".c": "c", ".json": "json5", ".lua": "lua"}
        kind, fence = kinds.get(path.suffix, "text"), "`" * 5
        code = (
            f"{fence}{{code-block}} {kind}\n:linenos:\n\n{(ROOT / path).read_text('utf-8')}{fence}"
        )
        self.write(
            place(path),
            f"---\n{orphan}nosearch: true\n---\n# {title}\n\n`{path.as_posix()}` · {links}\n\n"
            f'<div lang="en">\n\n{code}\n\n</div>\n',
        )

    def draw(self, block, text, title, source):
        """Return the Markdown that shows a diagram of mermaid: its block, until it is drawn."""
        picture = file_of(text)
        if not picture.is_file():
            print(f"{source.relative_to(ROOT)}: to draw its diagram, python -m book.diagrams")
            return block.replace("```mermaid", "```text")
        name = f"diagrams/{picture.name}"
        self.write(name, picture.read_bytes())
        address = os.path.relpath(name, place(source.relative_to(ROOT)).parent).replace(os.sep, "/")
        width = WIDTH.search(picture.read_text("utf-8"))[1]  # given, the picture links itself
        words = self.words["diagram"].format(title.replace("`", ""))
        words += in_words(text, "zh" if source.name.endswith(".zh-CN.md") else "en")
        words = json.dumps(words.strip(), ensure_ascii=False)  # which MyST reads as it is
        return f"~~~{{image}} {address}\n:alt: {words}\n:width: {width}px\n~~~"

    def convert(self, text, source):
        """Return the Markdown of a page as the book needs it: its links, and its diagrams."""

        def replace(match):
            if match["link"]:
                return self.link(match["link"], source)
            if match["kind"] != "mermaid":
                return match[0]
            return self.draw(match[0], match["text"], titles_before(match)[-1], source)

        text = BLOCK_OR_LINK.sub(replace, SWITCH.sub("", text))
        text = WORDS_OF_PICTURE.sub(lambda match: match[0].replace("\n", " "), text)  # for MyST
        return LAGS.sub(lambda match: self.warn(match, source), text)

    def warn(self, match, source):
        """Return the warning that a page, or a section of it, lags behind the English one."""
        anchor, english = "", source
        if source.suffix == ".md":
            english = english_of(source)
            own, anchors = headings(source), list(headings(english))
            anchor = anchors[len(titles_before(match)) - 1] if len(own) == len(anchors) else ""
        words = self.words["behind"].format(self.other(english, anchor, source))
        return f"```{{attention}}\n{match[1].lstrip('> ')}{words}\n```"

    def write_page(self, path):
        """Write a page of the course."""
        source, language = self.source_of(path)
        if path.suffix == ".ipynb":
            self.write_notebook(path)
            return
        text = self.convert(source.read_text("utf-8"), source)
        name = path.relative_to(ROOT).as_posix()
        if name == "GLOSSARY.md":
            text = mark_chinese(text if self.language == "en" else chinese_first(text))
        if language != self.language:
            heading, _, rest = text.partition("\n")
            note = f'<p class="only" lang="{CODES[self.language]}">{self.words["only"]}</p>'
            note = "" if path in BILINGUAL else note
            text = f"---\nlang: {CODES[language]}\n---\n{heading}\n\n{note}\n{rest}"
        if path.parent.name in STEPS and path.name == "README.md":
            text = add_figure(text, path.parent.name, self.language, self.write)
            if path.parent.name != STEPS[0]:
                text = DIFF.sub(f"\\g<0>\n\n{self.words['both']}", text, count=1)
        self.write(place(path.relative_to(ROOT)), text + self.contents(name))

    def write_notebook(self, path):
        """Write a notebook, with its stored outputs."""
        notebook = json.loads(path.read_text("utf-8"))
        if self.language == "zh" and not translate(notebook, path):
            notebook["metadata"]["lang"] = "en"
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = self.convert("".join(cell["source"]), path)
            for output in cell.get("outputs", []):
                if words := output.get("metadata", {}).get("image/png", {}).get("alt"):
                    cell["metadata"]["mystnb"] = {"image": {"alt": words}}
                for kind, data in output.get("data", {}).items():
                    if kind == "text/markdown":
                        output["data"][kind] = self.convert("".join(data), path)
        self.write(path.relative_to(ROOT), json.dumps(notebook, ensure_ascii=False, indent=1))

    def contents(self, name):
        """Return what a page adds to the sidebar: nothing, or its parts in their order."""
        words = self.words
        if name == "README.md":
            return "".join(
                toctree(rows, words[caption]) for caption, rows in self.first_contents().items()
            )
        if name == "benchmarks/README.md":
            return toctree([f"{words['results']} <results/results>"])
        if name == "TEACHING.md":
            names = sorted(path.name for path in pages() if path.parent.name == "teaching")
            return toctree(f"teaching/{name}" for name in names)
        if name == ".github/CONTRIBUTING.md":
            return toctree(["TRANSLATING"])
        step, _, file = name.rpartition("/")
        return toctree(self.step_contents(step)) if step in STEPS and file == "README.md" else ""

    def first_contents(self):
        """Return the parts of the sidebar: a dict from each caption to its rows."""
        words = self.words
        return {
            "begin": [
                f"{words['how']} <guide/how-a-lesson-works>",
                f"{words['own']} <guide/build-your-own>",
                f"{words['breaks']} <guide/when-it-breaks>",
                f"{words['lab']} <notebooks/00_start_here>",
            ],
            "steps": [f"{step}/index" for step in STEPS],
            "teach": [f"{words['teaching']} <TEACHING>"],
            "more": [
                f"{words['glossary']} <GLOSSARY>",
                f"{words['road']} <guide/the-road-from-here>",
                f"{words['benchmarks']} <benchmarks/index>",
                f"{words['ideas']} <guide/index>",
                f"{words['contributing']} <github/CONTRIBUTING>",
            ],
        }

    def step_contents(self, step):
        """Return the rows of the sidebar below a step."""
        words = self.words
        rows = [f"{words['lesson']} <self>"]
        for name in ("STAGES", "ARMOUR", "BREAK_IT", "EXERCISES"):
            if (ROOT / step / f"{name}.md").is_file():
                rows.append(f"{words[name]} <{name}>")
        return [
            *rows,
            f"{words['notebook']} <../notebooks/{step.removeprefix('step')}>",
            f"{self.diff_name(step)} <diff>",
            f"{words['tests']} <../tests/test_{step}.py>",
        ]

    def diff_name(self, step):
        """Return what the diff page of a step is called in a list of pages."""
        before = STEPS.index(step)  # which is the number of the step before
        return self.words["diff"].format(before) if before else self.words["first diff"]

    def write_diffs(self, step):
        """Write the diff of a step, and those of its stages."""
        stages = range(1, STAGES[step] + 1) if STAGES[step] > 1 else []
        parts = toctree(
            f"{self.words['stage'].format(stage)} <diff-stage{stage}>" for stage in stages
        )
        source, _ = self.source_of(ROOT / step / "README.md")
        link = functools.partial(self.link, source=source)
        self.write(f"{step}/diff.md", diff_page(step, None, self.language, link) + parts)
        for stage in stages:
            self.write(f"{step}/diff-stage{stage}.md", diff_page(step, stage, self.language, link))


def toctree(rows, caption=""):
    """Return a part of the sidebar, in the words of MyST; none if there are no rows."""
    rows = list(rows)
    heading = f":caption: {caption}\n" if caption else ""
    return (
        "\n```{toctree}\n:hidden:\n" + heading + "\n" + "\n".join(rows) + "\n```\n" if rows else ""
    )


def titles_before(match):
    """Return the headings that stand ahead of a match in its page."""
    text = without_blocks(match.string[: match.start()])
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def chinese_first(text):
    """Return the glossary as the Chinese book has it: the Chinese of a term, and then its English.

    It has no English introduction, and no links to English lessons.
    """
    heading, _, rest = text.split("\n\n", 2)
    return heading + "\n\n" + TERM.sub(r"\g<chinese>\n\n\g<english>", rest)


def mark_chinese(text):
    """Return the glossary with lang at its Chinese parts, and no level of headings left out."""

    def mark(match):
        before = match["before"] or match["item"] or ""
        return f'{before}<span lang="zh-CN">{match[0].removeprefix(before)}</span>'

    return CHINESE.sub(mark, text.replace("\n### ", "\n## "))


def write_sources(folder, language):
    """Write all that Sphinx reads for a language into a folder."""
    sources = Sources(folder, language)
    for path in pages():
        sources.write_page(path)
    for step in STEPS:
        sources.link(f"../tests/test_{step}.py", ROOT / step / "README.md")
        sources.write_diffs(step)
    sources.finish()
