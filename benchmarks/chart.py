"""Draw the requests a second of all servers, to be read without colour."""

from statistics import median

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter, StrMethodFormatter

LOOKS = {
    "step": ("a step of the course", {"marker": "o", "color": "black"}),
    "peer": ("another server", {"marker": "s", "color": "0.6"}),
    "limit": ("a limit: no HTTP, no application", {"marker": "^", "color": "white"}),
}


def draw(rows, file):
    """Draw the rows of the part web, one request a connection, and store them as a PNG file.

    A mark is the median of all rounds; its line goes from the least to the greatest.
    """
    connections = min({row["connections"] for row in rows}, key=lambda number: abs(number - 8))
    rows = [row for row in rows if row["connections"] == connections and not row["keep_alive"]]
    names = list(dict.fromkeys(row["application"] for row in rows))
    size = (8, 2 + 0.27 * len(rows))
    figure, panels = plt.subplots(len(names), figsize=size, sharex=True, squeeze=False)
    for name, axes in zip(names, panels[:, 0], strict=True):
        bars = [row for row in rows if row["application"] == name]
        draw_marks(axes, sorted(bars, key=lambda row: median(row["rate"])))
        axes.set_title(f"{name} application, {connections} connections, one request a connection")
    bottom = panels[-1, 0]
    bottom.set(xscale="log", xlabel="requests a second, on a logarithmic scale")
    bottom.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    bottom.xaxis.set_minor_formatter(NullFormatter())
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="lower center", ncols=3)
    figure.tight_layout(rect=(0, 0.4 / size[1], 1, 1))
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def draw_marks(axes, rows):
    """Draw a mark for each row, the last on top, with its number."""
    labelled = set()
    for place, row in enumerate(rows):
        middle, least, most = median(row["rate"]), min(row["rate"]), max(row["rate"])
        label, look = LOOKS[row["kind"]]
        axes.hlines(place, least, most, color="black")
        axes.plot(
            middle,
            place,
            linestyle="none",
            markeredgecolor="black",
            markersize=8,
            label=None if label in labelled else label,
            **look,
        )
        labelled.add(label)
        end = (most, place)
        axes.annotate(f"{middle:,.0f}", end, (8, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [row["server"] for row in rows])
    axes.margins(x=0.2, y=0.08)
    axes.grid(axis="x", color="0.85")
    axes.set_axisbelow(True)
