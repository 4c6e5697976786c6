"""Write the drawings of the notebooks, notebooks/drawings/*.svg: what no plot of numbers can show.

python -m notebooks.drawings
"""

from pathlib import Path
from xml.sax.saxutils import escape

from notebooks.pictures import SERVED, WAITS, ZOMBIE

FOLDER = Path(__file__).with_name("drawings")
GRAY = "#6b6b6b"
PALE = {SERVED: "#d5e2f0", WAITS: "#fcf0d9", ZOMBIE: "#e8d1d0", GRAY: "#f0f0f0", "black": "#c8c8c8"}


def box(x, y, width, height, text="", color=GRAY, dashed=False):
    """Return a rectangle with a text in its middle."""
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    fill = "white" if dashed else PALE[color]
    shape = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6"'
    shape = f'{shape} fill="{fill}" stroke="{color}" stroke-width="2"{dash}/>'
    return shape + words(x + width / 2, y + height / 2 + 5, text, "middle")


def words(x, y, text, anchor="start", color="black", bold=False):
    """Return a line of text."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{color}"{weight}>{escape(text)}</text>'
    )


def arrow(x1, y1, x2, y2, color="black", dashed=False):
    """Return a line with a head at its end."""
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    line = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{color}" stroke-width="2"'
    return f'{line}{dash} marker-end="url(#head)"/>'


def write(name, width, height, title, parts):
    """Write a drawing; title is what a screen reader says of it."""
    head = '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8"'
    head += ' markerHeight="8" orient="auto"><path d="M0 0 10 5 0 10z"/></marker>'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" font-family="sans-serif" font-size="16" role="img">',
        f"<title>{escape(title)}</title>",
        f"<defs>{head}</defs>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *parts,
        "</svg>",
    ]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / name).write_text("\n".join(lines) + "\n", "utf-8")


def accept_queue():
    """Draw where a connection waits until accept takes it."""
    parts = [
        box(10, 75, 110, 40, "client 5"),
        box(215, 25, 340, 140, ""),
        words(230, 50, "the kernel: the listener's queue", bold=True),
        words(230, 150, "connected, and waiting for accept"),
    ]
    for number, x in ((4, 235), (3, 340), (2, 445)):
        parts.append(box(x, 65, 95, 40, f"client {number}", WAITS))
    note = "A queue with room for three: client 5 is not connected, and its system asks again."
    parts += [
        box(650, 25, 230, 140, ""),
        words(665, 50, "the server's process", bold=True),
        box(665, 65, 200, 40, "connection: client 1", SERVED),
        words(665, 150, "one client at a time"),
        arrow(122, 95, 212, 95, GRAY, dashed=True),
        words(167, 85, "no room", "middle", GRAY),
        arrow(557, 85, 648, 85),
        words(602, 75, "accept", "middle"),
        words(10, 195, note),
    ]
    title = "Clients 2, 3 and 4 wait in the listener's queue in the kernel until accept takes them"
    write("accept_queue.svg", 890, 215, title, parts)


def fork_descriptors():
    """Draw who holds the listener and the connection: before fork, after it, and after close."""
    parts = []
    both = [("parent", "listener"), ("parent", "connection")]
    states = [
        ("before fork", both),
        ("after fork", [*both, ("child", "listener"), ("child", "connection")]),
        ("after both have closed", [("parent", "listener"), ("child", "connection")]),
    ]
    for number, (heading, held) in enumerate(states):
        left = 10 + 300 * number
        places = {"parent": left, "child": left + 145}
        rows = {"listener": 165, "connection": 225}
        parts.append(words(left, 25, heading, bold=True))
        for process, x in places.items():
            if process in dict(held):
                parts.append(box(x, 45, 125, 70, process, SERVED))
        for thing, y in rows.items():
            parts.append(box(left + 60, y, 150, 40, thing, GRAY))
        for process, thing in held:
            is_parent = process == "parent"
            if thing == "listener":
                x = left + (90 if is_parent else 180)
                parts.append(arrow(x, 117, x, 163))
            else:
                x = left + (25 if is_parent else 245)
                parts.append(f'<path d="M{x} 117 V245" stroke="black" stroke-width="2"/>')
                parts.append(arrow(x, 245, left + (58 if is_parent else 212), 245))
    note = "An arrow is a descriptor. What it leads to closes when the last one is closed."
    parts.append(words(10, 300, note))
    title = "Before fork the parent holds the listener and the connection. After it both processes"
    title += " hold both. At the end the parent holds the listener, and the child the connection"
    write("fork_descriptors.svg", 890, 320, title, parts)


def wait_status():
    """Draw the sixteen bits of a wait status, for an exit and for a signal."""
    parts = [
        words(290, 25, "exit status: 8 bits", "middle", bold=True),
        words(518, 25, "core dumped: 1 bit", "middle", bold=True),
        words(750, 25, "signal: 7 bits", "middle", bold=True),
    ]
    for row, (name, status) in enumerate([("sys.exit(3)", 3 << 8), ("SIGKILL", 9)]):
        y = 50 + 85 * row
        parts.append(words(10, y + 25, name))
        parts.append(words(880, y + 62, f"as one number: {status}", "end"))
        for bit in range(16):
            x = 130 + 46 * bit + (10 if bit >= 8 else 0) + (10 if bit >= 9 else 0)
            digit = status >> (15 - bit) & 1
            parts.append(box(x, y, 40, 38, str(digit), "black" if digit else GRAY))
    title = "A wait status: the exit status is in the high byte, then one bit says whether core was"
    title += " dumped, and the low seven bits are the signal: sys.exit(3) is 768, and SIGKILL is 9"
    write("wait_status.svg", 900, 220, title, parts)


def process_tree():
    """Draw the processes when a server is told to stop, and when it has ended before a child."""
    parts = []
    for left, heading in ((10, "SIGTERM: the server waits"), (460, "the server has ended")):
        ended = left != 10
        parts += [
            words(left, 25, heading, bold=True),
            box(left + 10, 45, 130, 40, "PID 1"),
            arrow(left + 75, 87, left + 75, 118),
            box(left + 10, 120, 130, 40, "the shell"),
            arrow(left + 75, 162, left + 75, 193, GRAY if ended else "black", ended),
            box(left + 10, 195, 130, 40, "the server", GRAY if ended else SERVED, ended),
            box(left + 10, 270, 130, 40, "child, ended", GRAY if ended else ZOMBIE, ended),
            box(left + 240, 270, 180, 40, "child, still at work", SERVED),
        ]
        if ended:
            parts.append(
                f'<path d="M{left + 142} 65 H{left + 330}" stroke="black" stroke-width="2"/>'
            )
            parts.append(arrow(left + 330, 64, left + 330, 268))
            parts.append(words(left + 150, 55, "adopts the orphan"))
        else:
            parts.append(arrow(left + 75, 237, left + 75, 268))
            parts.append(arrow(left + 142, 225, left + 238, 280))
    title = (
        "A server that stops waits for its children. If it ends before one of them, that child is"
    )
    title += " an orphan, and process 1 is its new parent"
    write("process_tree.svg", 900, 325, title, parts)


def main():
    """Write all drawings."""
    accept_queue()
    fork_descriptors()
    wait_status()
    process_tree()


if __name__ == "__main__":
    main()
