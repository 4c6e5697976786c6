"""Settings of Sphinx, which "python -m book" runs once for each language."""

import logging
import re
from pathlib import Path

import jieba
from sphinx.search.zh import SearchChinese

jieba.setLogLevel(logging.WARNING)
jieba.dt.tmp_dir = str(Path(__file__).parent / "_build")  # for its cache

project = "Build your own web server"
author = "the maintainers"
extensions = ["myst_nb", "sphinx_copybutton"]
root_doc = "index"
templates_path = ["templates"]
suppress_warnings = ["misc.highlighting_failure"]  # a lesson also shows code that is wrong

myst_heading_anchors = 6  # those of GitHub, which the pages link
myst_enable_extensions = []
myst_url_schemes = {
    **dict.fromkeys(["http", "https", "mailto"]),
    "other": "{{path}}#{{fragment}}",  # from a page to one in the other language
}
nb_execution_mode = "off"
nb_merge_streams = True

html_theme = "furo"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
html_static_path = ["static", "_build/static"]
html_static_path += ["../arena/static/words.js", "../arena/static/lifelines.js"]
html_css_files = ["lifelines.css", "book.css"]
html_js_files = ["words.js", "lifelines.js", "book.js"]
html_theme_options = {"top_of_page_buttons": ["view"]}  # the template makes a switch of it
html_copy_source = html_show_sourcelink = False
html_show_copyright = False
html_use_index = False
html_domain_indices = False
html_search_language = "zh"  # it finds English words, too
copybutton_selector = "div.highlight-sh pre, div.highlight-python pre, div.cell_input pre"


class Search(SearchChinese):
    """Finds English and Chinese words, also where a query has several Chinese ones in a row."""

    language_name = "English"  # whose stemmer it has: Sphinx looks for one of this name
    js_splitter_code = """
window.splitQuery = (query) =>
  [...new Intl.Segmenter("zh", { granularity: "word" }).segment(query)]
    .filter((part) => part.isWordLike)
    .map((part) => part.segment);
"""


def finish_page(app, pagename, templatename, context, doctree):
    """Tell the templates about both languages, and correct what readers of a screen stumble on."""
    depth = pagename.count("/")
    if app.config.language == "en":
        context["other_address"] = "../" * depth + f"zh/{pagename}.html"
        context["other_language"] = "zh-CN", "中文", "本页的中文版"
        context["labels"] = "All pages", "On this page"
        context["moves"] = "Next", "Previous", "Home"
    else:
        context["other_address"] = "../" * (depth + 1) + f"{pagename}.html"
        context["other_language"] = "en", "English", "This page in English"
        context["labels"] = "全部页面", "本页内容"
        context["moves"] = "下一页", "上一页", "首页"
    context["text_language"] = (context.get("meta") or {}).get("lang", "")
    body = context.get("body", "")  # in which the empty corner of a table is no heading
    context["body"] = re.sub('<th class="head[^"]*"><p></p></th>', "<td></td>", body)
    tree = context.get("furo_navigation_tree", "")  # its captions are headings without a level
    context["furo_navigation_tree"] = tree.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def setup(app):
    """Register what is above with Sphinx."""
    app.add_search_language(Search)
    app.connect("html-page-context", finish_page, priority=900)  # after the theme
