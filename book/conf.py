"""Settings of Sphinx, which "python -m book" runs once for each language."""

import re

from sphinx.search.en import SearchEnglish

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
html_search_language = "en"  # it finds Chinese words, too
copybutton_selector = ":is(.highlight-sh, .highlight-python, .highlight-py, .cell_input) pre"

# What the theme writes, with so much around it that no text of ours is meant, and what we write.
WORDS_OF_THEME = {
    "en": {
        '<aside class="sidebar-drawer': '<aside aria-label="All pages" class="sidebar-drawer',
        '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
    },
    "zh_CN": {
        '<aside class="sidebar-drawer': '<aside aria-label="全部页面" class="sidebar-drawer',
        '<aside class="toc-drawer': '<aside aria-label="本页内容" class="toc-drawer',
        '"Toggle site navigation sidebar"': '"打开或收起全部页面"',
        '"Toggle table of contents sidebar"': '"打开或收起本页内容"',
        '"Toggle navigation of ': '"展开或收起：',
        '"Toggle Light / Dark / Auto color theme"': '"切换浅色、深色或跟随系统"',
        ">Skip to content<": ">跳到正文<",
        "<span>Back to top</span>": "<span>回到顶部</span>",
        " On this page\n": " 本页内容\n",
        "<span>Next</span>": "<span>下一页</span>",
        "<span>Previous</span>": "<span>上一页</span>",
        '<div class="title">Home</div>': '<div class="title">首页</div>',
        " Made with <": " 制作工具：<",
        "</a> and <a ": "</a> 和 <a ",
        ">@pradyunsg</a>'s\n": ">@pradyunsg</a> 的\n",
        "\n    Please activate JavaScript to enable the search functionality.\n": (
            "\n    请启用 JavaScript，否则不能搜索。\n"
        ),
        "<title>Contents</title>": "<title>本页内容</title>",
        "<title>Menu</title>": "<title>全部页面</title>",
        "<title>Expand</title>": "<title>展开</title>",
        "<title>Light mode</title>": "<title>浅色</title>",
        "<title>Dark mode</title>": "<title>深色</title>",
        "<title>Auto light/dark, in light mode</title>": "<title>跟随系统，现在是浅色</title>",
        "<title>Auto light/dark, in dark mode</title>": "<title>跟随系统，现在是深色</title>",
    },
}


class Search(SearchEnglish):
    """Finds English words, and Chinese ones by each two characters that stand in a row.

    Where a Chinese word ends, the browser and a library for Python see in different ways.
    """

    js_splitter_code = """
window.splitQuery = (query) =>
  (query.match(/[一-鿿]+|(?:(?![一-鿿])[\\p{L}\\p{N}_])+/gu) ?? []).flatMap((word) =>
    /[一-鿿]{2}/.test(word) ? [...word].slice(1).map((last, i) => word[i] + last) : [word]);
"""

    def split(self, input):
        """Return the words of a text: a list of strings."""
        words = []
        for word in re.findall(r"[一-鿿]+|[^\W一-鿿]+", input):
            pairs = [word[i : i + 2] for i in range(len(word) - 1)]
            words += pairs if pairs and "一" <= word[0] <= "鿿" else [word]
        return words


def finish_page(app, pagename, templatename, context, doctree):
    """Tell the templates about both languages, and correct what readers of a screen stumble on."""
    depth = pagename.count("/")
    if app.config.language == "en":
        context["other_address"] = "../" * depth + f"zh/{pagename}.html"
        context["other_language"] = "zh-CN", "中文", "本页的中文版"
    else:
        context["other_address"] = "../" * (depth + 1) + f"{pagename}.html"
        context["other_language"] = "en", "English", "This page in English"
    context["words_of_theme"] = WORDS_OF_THEME[app.config.language]
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
