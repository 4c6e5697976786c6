"""Fill in what the pages quote, and the links of the Chinese ones: run it by "make prose".

A page of a step marks each place with a comment, and the fenced block after it is filled:

    <!-- diff: step03_wsgi/server.py step04_fork/server.py -->
    <!-- mistake: no handler -->

A diff of two folders, such as two stages, has all Python files in which they differ. A link of a
Chinese page may be written as the English page has it: it is turned into the Chinese one.
"""

import re

from course.chinese import BILINGUAL, chinese_pages, fill_glossary, fill_links
from course.facts import read_mistakes, unified_diff
from tests.harness import ROOT

MARKED = re.compile(r"<!-- (diff|mistake): (.+?) -->\n+```diff\n(.*?)```\n", re.DOTALL)


def diff(old, new):
    """Return the unified diff of two files or folders. What the old one lacks is new."""
    if (ROOT / new).is_dir():
        names = sorted(path.name for path in (ROOT / new).glob("*.py"))
        return "\n".join(filter(None, (diff(f"{old}/{name}", f"{new}/{name}") for name in names)))
    text = (ROOT / old).read_text("utf-8") if (ROOT / old).exists() else ""
    return unified_diff(text, (ROOT / new).read_text("utf-8"), old, new)


def fill(text, step):
    """Return the text of a page of that step, with all its marked blocks filled in."""

    def block(match):
        kind, name = match[1], match[2]
        if kind == "diff":
            content = diff(*name.split())
        else:
            [mistake] = [m for m in read_mistakes() if m.name == name and m.step == step]
            text = (ROOT / step / mistake.file).read_text("utf-8")
            path = f"{step}/{mistake.file}"
            content = unified_diff(text, mistake.apply(text), path, path)
        return f"<!-- {kind}: {name} -->\n```diff\n{content}\n```\n"

    return MARKED.sub(block, text)


def main():
    """Fill in all pages, in both languages, and say which ones changed."""
    translated = chinese_pages()
    for path in sorted({*ROOT.glob("step*/*.md"), *translated, *BILINGUAL}):
        text = path.read_text("utf-8")
        filled = fill(text, path.parent.name)
        if path in translated:
            filled = fill_links(filled, path)
        elif path in BILINGUAL:
            filled = fill_glossary(filled)
        if filled != text:
            path.write_text(filled, "utf-8")
            print("filled in", path.relative_to(ROOT))


if __name__ == "__main__":
    main()
