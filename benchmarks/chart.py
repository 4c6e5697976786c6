"""Draw the requests a second of all servers as bars, to be read without colour."""

from statistics import median

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

LOOKS = {
    "step": ("a step of the course", {"color": "black"}),
    "peer": ("another server", {"color": "0.7"}),
    "limit": ("a limit: no HTTP, no application", {"color": "white", "hatch": "///"}),
}


def draw(rows, file):
    """Draw the rows of the part web, one request a connection, and store them as a PNG file.

    A bar is the median of all rounds; its whisker goes from the least to the greatest.
    """
    connections = most_like(8, {row["connections"] for row in rows})
    rows = [row for row in rows if row["connections"] == connections and not row["keep_alive"]]
    names = list(dict.fromkeys(row["application"] for row in rows))
    height = 1.5 + 0.3 * len(rows)
    figure, panels = plt.subplots(len(names), figsize=(8, height), squeeze=False)
    for name, axes in zip(names, panels[:, 0], strict=True):
        bars = [row for row in rows if row["application"] == name]
        draw_bars(axes, sorted(bars, key=lambda row: median(row["rate"])))
        axes.set_title(f"{name} application, {connections} connections, one request a connection")
    panels[-1, 0].set_xlabel("requests a second (each mark is ten times the one before)")
    panels[0, 0].legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def draw_bars(axes, rows):
    """Draw a bar for each row, the greatest on top, with its number."""
    labelled = set()
    for place, row in enumerate(rows):
        middle = median(row["rate"])
        label, look = LOOKS[row["kind"]]
        axes.barh(
            place,
            middle,
            xerr=[[middle - min(row["rate"])], [max(row["rate"]) - middle]],
            edgecolor="black",
            ecolor="0.4",
            capsize=3,
            label=None if label in labelled else label,
            **look,
        )
        labelled.add(label)
        axes.annotate(
            f"{middle:,.0f}",
            (max(row["rate"]), place),
            (6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(rows)), [row["server"] for row in rows])
    axes.set_xscale("log")
    axes.margins(x=0.12)


def most_like(wanted, numbers):
    """Return the one of the numbers that is nearest to the one wanted."""
    return min(numbers, key=lambda number: abs(number - wanted))
