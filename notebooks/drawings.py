"""Write the drawings of the notebooks, notebooks/drawings/*.svg: what no plot of numbers can show.

python -m notebooks.drawings

Each is written twice, in English and, as *.zh-CN.svg, in Chinese.
"""

import re
from pathlib import Path
from xml.sax.saxutils import escape, unescape

from notebooks.pictures import SERVED, WAITS, ZOMBIE

FOLDER = Path(__file__).with_name("drawings")
GRAY = "#6b6b6b"
CHINESE = {
    "A queue with room for three: client 5 is not connected, and its system asks again.": (
        "队列容得下三条连接：客户端 5 没有连上，它的系统会再试一次。"
    ),
    "A server that stops waits for its children. If it ends before one of them, that child is an "
    "orphan, and process 1 is its new parent": (
        "服务器停止时，等待自己的子进程。如果服务器先于某个子进程终止，"
        "那个子进程就成了孤儿进程，由 1 号进程收养"
    ),
    "A wait status: the exit status is in the high byte, then one bit says whether core was "
    "dumped, and the low seven bits are the signal: sys.exit(3) is 768, and SIGKILL is 9": (
        "终止状态：高字节是退出状态，接着一位表示核心转储，低七位是信号。"
        "sys.exit(3) 是 768，SIGKILL 是 9"
    ),
    "An arrow is a descriptor. What it leads to closes when the last one is closed.": (
        "每个箭头是一个描述符。指向同一样东西的最后一个描述符关闭了，这样东西才关闭。"
    ),
    "Before fork the parent holds the listener and the connection. After it both processes hold "
    "both. At the end the parent holds the listener, and the child the connection": (
        "fork 之前，父进程持有监听套接字和连接。fork 之后，两个进程两样都有。"
        "最后，父进程只有监听套接字，子进程只有连接"
    ),
    "Clients 2, 3 and 4 wait in the listener's queue in the kernel until accept takes them": (
        "客户端 2、3、4 在内核里，在监听套接字的队列中等待，直到 accept 把它们取出来"
    ),
    "PID 1": "1 号进程",
    "SIGTERM: the server waits": "SIGTERM：服务器在等待",
    "adopts the orphan": "收养孤儿进程",
    "after both have closed": "双方各自关闭之后",
    "after fork": "fork 之后",
    "as one number: 768": "合成一个数：768",
    "as one number: 9": "合成一个数：9",
    "before fork": "fork 之前",
    "child": "子进程",
    "child, ended": "子进程，已终止",
    "child, still at work": "子进程，还在工作",
    "client 2": "客户端 2",
    "client 3": "客户端 3",
    "client 4": "客户端 4",
    "client 5": "客户端 5",
    "connected, and waiting for accept": "已经连上，等着 accept",
    "connection": "连接",
    "connection: client 1": "连接：客户端 1",
    "core dumped: 1 bit": "核心转储：1 位",
    "exit status: 8 bits": "退出状态：8 位",
    "listener": "监听套接字",
    "no room": "没有空位",
    "one client at a time": "一次一个客户端",
    "parent": "父进程",
    "signal: 7 bits": "信号：7 位",
    "the kernel: the listener's queue": "内核：监听套接字的队列",
    "the server": "服务器",
    "the server has ended": "服务器已经终止",
    "the server's process": "服务器的进程",
    "the shell": "shell",
}
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
    """Write a drawing in both languages; title is what a screen reader says of it."""
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
    text = "\n".join(lines) + "\n"
    (FOLDER / f"{name}.svg").write_text(text, "utf-8")
    (FOLDER / f"{name}.zh-CN.svg").write_text(re.sub(">([^<>]+)</t", in_chinese, text), "utf-8")


def in_chinese(match):
    """Return the words of a match in Chinese, or as they are if they need no translation."""
    text = unescape(match[1])
    return f">{escape(CHINESE.get(text, text))}</t"


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
    write("accept_queue", 890, 215, title, parts)


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
    write("fork_descriptors", 890, 320, title, parts)


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
    write("wait_status", 900, 220, title, parts)


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
            box(left + 10, 195, 130, 40, "the server", GRAY if ended else WAITS, ended),
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
    write("process_tree", 900, 325, title, parts)


def main():
    """Write all drawings."""
    accept_queue()
    fork_descriptors()
    wait_status()
    process_tree()


if __name__ == "__main__":
    main()
