"""The pictures of the notebooks: each is a PNG with its alternative text.

Three colours mean the same in all of them, and in the arena: waits, works or is served, zombie.
They differ in brightness, too, so a picture can be read without colours.
"""

import io
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import display
from PIL import Image

WAITS, SERVED, ZOMBIE = "#F2B84B", "#2F6DB5", "#8E1B16"
PART, OTHER = "#6b6b6b", "#d9d9d9"  # of what has no such meaning: bars, parts of a message
# Of lines that have none: the first is the one that matters, and the darkest.
LINES = [("black", "-", "o"), ("#6b6b6b", "--", "s"), ("#949494", ":", "^")]
COLORS = 32  # of a stored picture: more would make the file larger, and show no more

plt.style.use(Path(__file__).with_name("course.mplstyle"))


def show(figure, alt):
    """Display a figure as a PNG; alt says in words what it shows, for whoever cannot see it."""
    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    plt.close(figure)
    picture = Image.open(drawn).convert("RGB").quantize(COLORS)
    picture.save(stored, format="png", optimize=True)
    data = {"image/png": stored.getvalue(), "text/plain": f"In words: {alt}"}
    display(data, raw=True, metadata={"image/png": {"alt": alt}})


def plot_lines(title, x_label, y_label, lines, alt, colors=None, steps=False, log=False):
    """Draw a line for each name in lines, a dict: its value is a pair, the x and the y values.

    The first line is the one that matters. colors: a dict from names to colours, such as ZOMBIE;
    steps: between two points the line stays level, then jumps; log: the y axis is logarithmic.
    """
    figure, axes = plt.subplots()
    options = {"drawstyle": "steps-post" if steps else "default", "clip_on": log, "zorder": 3}
    for (name, (x, y)), (color, style, marker) in zip(lines.items(), LINES, strict=False):
        color = (colors or {}).get(name, color)
        axes.plot(x, y, color=color, linestyle=style, marker=marker, label=name, **options)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.set_yscale("log" if log else "linear")
    axes.yaxis.set_major_formatter("{x:g}")  # 100, and not 10 to the power of 2
    axes.set_ylim(bottom=0.8 if log else 0)
    if len(lines) > 1:
        axes.legend()
    show(figure, alt)


def plot_bars(title, x_label, panels, alt, form="{:.1f}", color=PART):
    """Draw a bar with its number for each name, in panels that share their axis.

    panels: a dict from the title of each panel to a dict from names to numbers.
    form: how a number is written at its bar.
    """
    figure, rows = panels_of(title, x_label, panels)
    for axes, bars in zip(rows, panels.values(), strict=True):
        drawn = axes.barh(list(bars), list(bars.values()), color=color)
        axes.bar_label(drawn, [form.format(value) for value in bars.values()], padding=5)
    rows[0].set_xlim(left=0)
    show(figure, alt)


def waiting_line(title, panels, alt):
    """Draw how long each client waited and was served, in panels that share their axis.

    panels: a dict from the title of each panel to its clients, each (name, connected, served,
    ended), in seconds. The number at a bar is how long the client waited, in seconds.
    """
    spans = {
        heading: {
            name: [(connected, served, WAITS, ""), (served, ended, SERVED, f"{waited:.1f} s")]
            for name, connected, served, ended in visits
            for waited in [served - connected]
        }
        for heading, visits in panels.items()
    }
    plot_spans(title, spans, alt, {"waits (how long)": WAITS, "is served": SERVED})


def plot_spans(title, panels, alt, legend, events=None):
    """Draw when what was the case: rows of coloured spans, in panels that share their axis.

    panels: a dict from the title of each panel to a dict from names to lists of spans, each (begin,
    end, color, text behind it), in seconds; legend: a dict from words to colours;
    events: a dict from words to seconds, at each of which a line is drawn.
    """
    figure, rows = panels_of(title, "seconds", panels)
    for axes, spans_of in zip(rows, panels.values(), strict=True):
        for name, spans in spans_of.items():
            for begin, end, color, text in spans:
                axes.barh(name, end - begin, left=begin, color=color)
                axes.annotate(text, (end, name), (5, 0), textcoords="offset points", va="center")
        for word, second in (events or {}).items():
            axes.axvline(second, color="black", linestyle="--")
            place = {"xytext": (4, 4), "textcoords": "offset points"}
            axes.annotate(word, (second, axes.get_ylim()[1]), **place)
    boxes = [plt.Rectangle((0, 0), 1, 1, color=color) for color in legend.values()]
    rows[0].set_xlim(left=0)
    place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": len(legend)}
    rows[0].legend(boxes, list(legend), **place)
    show(figure, alt)


def plot_pieces(title, rows, alt):
    """Draw texts cut into pieces, one row of boxes for each name: what came with which recv, say.

    rows: a dict from names to lists of pieces, each (text, label over it, color).
    """
    height = 0.9 * len(rows) + 0.6
    figure, axes = plt.subplots(figsize=(10, height))
    longest = max(sum(len(text) + 2 for text, *_ in pieces) for pieces in rows.values())
    for row, pieces in enumerate(rows.values()):
        left = 0
        for text, label, color in pieces:
            width = len(text) + 2
            axes.barh(row, width, left=left, height=0.5, color=color, edgecolor="black", alpha=0.4)
            size = min(13, 950 / longest)
            middle = left + width / 2
            axes.text(middle, row, text, ha="center", va="center", family="monospace", size=size)
            axes.text(middle, row - 0.3, label, ha="center", va="bottom", size=11)
            left += width
    axes.set(title=title, xticks=[], ylim=(len(rows) - 0.6, -0.75))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.spines[:].set_visible(False)
    axes.grid(False)
    show(figure, alt)


def panels_of(title, x_label, panels):
    """Return a figure and its axes: one under another, each as high as it has names."""
    sizes = [len(rows) for rows in panels.values()]
    figure, grid = plt.subplots(
        len(panels),
        squeeze=False,
        sharex=True,
        figsize=(10, 0.5 * sum(sizes) + 0.7 * len(panels) + 0.6),
        height_ratios=sizes,
        layout="constrained",
    )
    figure.suptitle(title, size=15, x=0, ha="left")
    axes = list(grid[:, 0])
    for each, (heading, rows) in zip(axes, panels.items(), strict=True):
        each.set_title(heading, size=14)
        each.grid(False, axis="y")
        each.set_ylim(len(rows) - 0.4, -0.6)  # the first on top
        each.margins(x=0.12)
    axes[-1].set_xlabel(x_label)
    return figure, axes
