"""Make the tables from results.json, and fill in the numbers that the READMEs quote.

    python -m benchmarks.report

A README marks the place of a number, or of a table, with two comments. What is between them
is filled in: <!-- result: step03_wsgi / wsgiref / trivial -->3.6<!-- end -->. The names are
those of quotes(), below. Without a result it says "not measured yet".
"""

import json
import re
from statistics import median

from tests.harness import ROOT

RESULTS = ROOT / "benchmarks" / "results"
PLACE = re.compile(r"(<!-- result: (.+?) -->).*?(<!-- end -->)", re.DOTALL)
NUMBER = re.compile(r"[\d.,]+( to [\d.]+)?$")

# What a Chinese page says instead of the words that are filled in.
CHINESE = [
    (r"\| server \| compared.*", "| 服务器 | 与谁相比 | 比什么 | 比值 | 最小到最大 | 目标 |"),
    (r"memory (after)", r"内存，\1"),
    (r"descriptors (after)", r"描述符，\1"),
    (r"p50 (after)", r"p50，\1"),
    (r"after ([\d,]+) requests", r"\1 个请求之后"),
    (r"(\d+) at once: refused", r"\1 个同时连接：被拒绝的"),
    (r"(\d+) at once: waited", r"\1 个同时连接：要等的"),
    (r"\| trivial \|", "| 一行文字 |"),
    (r"\| asyncio streams \|", "| asyncio 的流 |"),
    (r"\| bare loop \|", "| 裸循环 |"),
    (r"\| bare fork loop \|", "| 裸 fork 循环 |"),
    (r"\| bare fork loop with Flask \|", "| 裸 fork 循环，导入了 Flask |"),
    (r"\| gunicorn sync, 1 worker \|", "| gunicorn sync，1 个工作进程 |"),
    (r"\| gunicorn sync, all processors \|", "| gunicorn sync，每个处理器一个工作进程 |"),
    (r"\| (\d+) bytes \|", r"| \1 字节 |"),
    (r"([\d.]+) to ([\d.]+)", r"\1 到 \2"),
    (r"([\d.]+) or more", r"至少 \1"),
    (r"([\d.]+) or less", r"至多 \1"),
    (r"\| none \|", "| 无 |"),
    (
        r"(\d+) processors, (.*)\. Load: (.*), (\d+) rounds, (\d+) s for each measurement\.",
        r"\1 个处理器，\2。负载：\3，\4 轮，每次测量 \5 秒。",
    ),
]

CONNECTIONS = 8  # the ratios of the summary are those at so many connections
# A server, what it is compared with, the application, and the ratio that we want to reach.
WEB_GOALS = [
    ("step03_wsgi", "wsgiref", "trivial", 3.5),
    ("step03_wsgi", "gunicorn sync, 1 worker", "trivial", 3.5),
    ("step03_wsgi", "waitress", "trivial", 4),
    ("step03_wsgi", "bare loop", "trivial", 0.75),
    ("step05_zombies", "wsgiref, fork", "trivial", 2.5),
    ("step05_zombies", "bare fork loop", "trivial", 0.75),
    ("step05_zombies", "wsgiref, fork", "Flask", 1.5),
    ("step05_zombies", "bare fork loop with Flask", "Flask", 0.7),
    ("step06_prefork", "gunicorn sync, all processors", "trivial", 1.8),
    ("step06_prefork", "gunicorn sync, all processors", "Flask", 1.8),
]
ECHO_NAMES = {64: "64 bytes", 65536: "64 KiB"}
ECHO_GOALS = [
    ("step01_echo_socket", "asyncio streams", 64, 1.5),
    ("step01_echo_socket", "asyncio streams", 65536, 1),
]


def read_results(folder=RESULTS):
    """Return the stored results, a dict with an item for each part that was measured."""
    file = folder / "results.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def write_results(results, folder=RESULTS):
    """Store the results as JSON, a row on each line, and as tables."""
    text = json.dumps(results, indent=1)
    text = re.sub(r"\[[^][{}]*\]", lambda match: " ".join(match[0].split()), text)
    (folder / "results.json").write_text(text + "\n", "utf-8")
    (folder / "results.md").write_text(tables(results), "utf-8")


def rows_of(results, part, **wanted):
    """Return the rows of a part whose items are those wanted, by the name of their server."""
    rows = results.get(part, {"rows": []})["rows"]
    return {
        row["server"]: row
        for row in rows
        if all(row.get(name) == value for name, value in wanted.items())
    }


def ratio(row, reference, name="rate"):
    """Return the median, the least and the greatest of the ratios of each round."""
    pairs = zip(row[name], reference[name], strict=True)
    ratios = [ours / theirs for ours, theirs in pairs if theirs]
    return (median(ratios), min(ratios), max(ratios)) if ratios else (0, 0, 0)


def comparisons(results):
    """Return the paired ratios that have a goal: (server, reference, of what, ratio, goal)."""
    found = []
    for server, reference, application, goal in WEB_GOALS:
        rows = rows_of(
            results, "web", application=application, connections=CONNECTIONS, keep_alive=False
        )
        if server in rows and reference in rows:
            found.append(
                (server, reference, application, ratio(rows[server], rows[reference]), goal)
            )
    for server, reference, size, goal in ECHO_GOALS:
        rows = rows_of(results, "echo", size=size)
        if server in rows and reference in rows:
            name = ECHO_NAMES[size]
            found.append((server, reference, name, ratio(rows[server], rows[reference]), goal))
    return found


def summary(results):
    """Return a table of all that has a goal."""
    lines = [
        [server, reference, what, f"{middle:.2f}", f"{least:.2f} to {most:.2f}", f"{goal} or more"]
        for server, reference, what, (middle, least, most), goal in comparisons(results)
    ]
    for server, row in rows_of(results, "growth").items():
        first, last = row["samples"][0], row["samples"][-1]
        for name in ("memory", "descriptors", "p50"):
            reference = f"after {first['requests']:,} requests"
            what = f"{name} after {last['requests']:,} requests"
            goal = "1.10 or less" if server == "step05_zombies" else "none"
            lines.append([server, reference, what, f"{last[name] / first[name]:.2f}", "", goal])
    for server, row in rows_of(results, "burst", is_own=True).items():
        for name in ("refused", "waited"):
            what = f"{row['clients'][0]} at once: {name}"
            lines.append([server, "", what, str(max(row[name])), "", "0"])
    return table(["server", "compared with", "of what", "ratio", "least to most", "goal"], lines)


def tables(results):
    """Return the text of results.md."""
    parts = ["# Results", "Made by `make bench`. [How to read it](../README.md).", "## Summary"]
    parts += [f"At {CONNECTIONS} connections, one request a connection.", summary(results)]
    for part, make in (
        ("web", web_tables),
        ("echo", echo_tables),
        ("growth", growth_tables),
        ("burst", burst_tables),
    ):
        if part in results:
            parts += [f"## The part {part}", circumstances(results[part]["about"])]
            parts += make(results)
    return "\n\n".join(parts) + "\n"


def circumstances(about):
    """Return the sentences that say when, where and how a part was measured."""
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    return (
        f"{about['date']}, {about['processors']} processors, {about['system']}, "
        f"{about['python']}, {packages}. Load: {about['load']}."
    )


def web_tables(results):
    """Return the tables of the part web; the servers that keep connections open stand apart."""
    parts = []
    kinds = {
        (row["keep_alive"], row["application"], row["connections"]): None
        for row in results["web"]["rows"]
    }
    for keep_alive, application, connections in sorted(kinds, key=lambda kind: kind[0]):
        wanted = {"application": application, "connections": connections}
        rows = rows_of(results, "web", keep_alive=keep_alive, **wanted)
        once = rows_of(results, "web", keep_alive=False, **wanted)
        manner = "keep-alive" if keep_alive else "one request a connection"
        count = f"{connections} connection{'s' * (connections > 1)}"
        parts.append(f"### {application}, {count}, {manner}")
        heading = "of the same, one a connection" if keep_alive else "of the bare loop"
        lines = []
        for name, row in rows.items():
            reference = once.get(name if keep_alive else "bare loop")
            lines.append([name, *spread(row, reference), *web_cells(row)])
        headings = ["server", heading, "least to most", "requests/s", "p50 ms", "p99 ms"]
        parts.append(table([*headings, "errors", "MB"], lines))
    return parts


def web_cells(row):
    """Return the cells of a server's row after its ratio."""
    return [
        f"{median(row['rate']):,.0f}",
        f"{median(row['p50']):.2f}",
        f"{median(row['p99']):.2f}",
        str(sum(row["errors"])),
        f"{median(row['memory']) / 1e6:.0f}",
    ]


def spread(row, reference):
    """Return two cells: the median of the paired ratios, and the least and the greatest."""
    if reference is None:
        return ["", ""]
    middle, least, most = ratio(row, reference)
    return [f"{middle:.3f}", f"{least:.3f} to {most:.3f}"]


def echo_tables(results):
    """Return the tables of the part echo."""
    parts = []
    for size, name in ECHO_NAMES.items():
        rows = rows_of(results, "echo", size=size)
        lines = [
            [
                server,
                *spread(row, rows.get("asyncio streams")),
                f"{median(row['rate']):,.0f}",
                f"{median(row['rate']) * size / 1e6:,.1f}",
            ]
            for server, row in rows.items()
        ]
        headings = ["server", "of asyncio", "least to most", "round trips/s", "MB/s each way"]
        parts += [f"### Pieces of {name}", table(headings, lines)]
    return parts


def growth_tables(results):
    """Return the tables of the part growth."""
    parts = []
    for server, row in rows_of(results, "growth").items():
        lines = [
            [
                f"{sample['requests']:,}",
                f"{sample['zombies']:,}",
                str(sample["descriptors"]),
                f"{sample['memory'] / 1e6:.1f}",
                f"{sample['p50']:.2f}",
            ]
            for sample in row["samples"]
        ]
        headings = ["requests", "zombies", "descriptors", "MB of the parent", "p50 ms"]
        parts += [f"### {server}: {row['errors']} errors", table(headings, lines)]
    return parts


def burst_tables(results):
    """Return the table of the part burst: the worst of all rounds."""
    headings = ["server", "backlog", "at once", "refused", "SYN sent again", "unanswered"]
    lines = [
        [
            row["server"],
            str(row["backlog"]),
            *(str(max(row[name])) for name in ("clients", "refused", "waited", "unanswered")),
            f"{max(row['slowest']):.2f}",
        ]
        for row in results["burst"]["rows"]
    ]
    return [table([*headings, "slowest answer, s"], lines)]


def table(headings, lines):
    """Return a Markdown table of cells that are text; columns of numbers are aligned right."""
    columns = [[*filter(None, column)] for column in zip(*lines, strict=True)]
    marks = ["---:" if all(NUMBER.match(cell) for cell in cells) else "---" for cells in columns]
    lines = [headings, marks or ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def quotes(results):
    """Return what a README may quote: a dict from the name in its marker to the text."""
    found = {}
    for server, reference, what, (middle, _, _), _ in comparisons(results):
        found[f"{server} / {reference} / {what}"] = (
            f"{middle:.1f}" if middle > 1 else f"{middle:.2f}"
        )
    for row in results.get("web", {"rows": []})["rows"]:
        if not row["keep_alive"]:
            name = f"{row['server']}, {row['application']}, {row['connections']}"
            found[name] = f"{median(row['rate']):,.0f}"
    if results:
        found["summary"] = f"\n\n{summary(results)}\n\n"
    for part, measured in results.items():
        found[f"circumstances of {part}"] = circumstances(measured["about"])
    return found


def fill(text, results, is_chinese=False):
    """Return the text of a page with all its marked places filled in."""
    known = quotes(results)

    def words(match):
        quote = known.get(match[2], "not measured yet")
        for pattern, own in CHINESE if is_chinese else ():
            quote = re.sub(pattern, own, quote)
        return match[1] + quote + match[3]

    return PLACE.sub(words, text)


def pages():
    """Return the pages that may quote results."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README*.md")])


def main():
    """Write results.md again, and fill in all pages; say which ones changed."""
    results = read_results()
    if results:
        write_results(results)
    for page in pages():
        text = page.read_text("utf-8")
        filled = fill(text, results, page.name.endswith(".zh-CN.md"))
        if filled != text:
            page.write_text(filled, "utf-8")
            print("filled in", page.relative_to(ROOT))


if __name__ == "__main__":
    main()
