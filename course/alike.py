"""What an English text and its Chinese translation have in common, piece by piece."""

import re
import unicodedata
from collections import Counter
from itertools import zip_longest

from course.facts import BEHIND, without_comments

BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)  # in lists, too
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
HAN = re.compile(r"[\u4e00-\u9fff]")
SAID_BY_LOOP = re.compile(r"^    Read: |^  step \d   ", re.MULTILINE)
NOTE = re.compile(r"(.*\S) {3,}(\S.*)")
# A row, an item, or a mark begins here. <code> may stand anywhere in a sentence.
PIECE = re.compile(r"^(?= *(?:\||[-*] |\d\. |<(?!code>)))", re.MULTILINE)
SOURCE = re.compile(r"\b(?:RFC|PEP) \d+|\b\w+\(\d\)|POSIX\.1-\d+")
# A number in digits. What may follow it in both languages makes it greater.
DIGITS = re.compile(r"(?<![\w.])(\d+(?:[.,]\d+)*)(?: ?(万|亿|thousand|million|billion))?")
SCALES = {"万": 10**4, "亿": 10**8, "hundred": 100, "thousand": 1000, "million": 10**6}
SCALES["billion"] = 10**9
SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
WORDS = {word: number for number, word in enumerate(SMALL.split())}
TENS = "thirty forty fifty sixty seventy eighty ninety"
WORDS |= {word: 10 * number for number, word in enumerate(TENS.split(), 3)}
ORDINALS = {"once": 1, "twice": 2, "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
SPELLED = re.compile(
    rf"\b(?:{'|'.join(WORDS)})\b(?:[ -](?:{'|'.join(WORDS | SCALES)})\b)*", re.IGNORECASE
)
CHINESE_NUMBER = re.compile("[零一二三四五六七八九十百千万亿两]+")


def pieces(text):
    """Return the paragraphs, items, rows and marks of a text, in their order: a list of texts."""
    text = re.sub(r"<!--[^>]*?-->|^#+ .*$", "", BLOCK.sub("\n", text), flags=re.M)
    parts = re.split(r"\n\s*\n", PIECE.sub("\n\n", text.replace(BEHIND, "")))
    return [" ".join(part.split()) for part in parts if part.strip()]


def kind(piece):
    """Return what a piece is: "item", "step", "row", "paragraph", or a mark such as "<details>"."""
    kinds = {"|": "row", "- ": "item", "* ": "item"}
    mark = re.match(r"\||[-*] |(\d+)\. |<(?!code>)[^>]*>", piece)
    return "paragraph" if not mark else "step" if mark[1] else kinds.get(mark[0], mark[0])


def plain(piece):
    """Return a piece without where its links lead."""
    return re.sub(r"\]\([^)]*\)", "]", piece)


def in_digits(text):
    """Return the numbers that stand in a text in digits: a Counter of texts such as "9.3.1"."""
    found = Counter()
    for digits, scale in DIGITS.findall(text):
        digits = re.sub(r",(?=\d{3}\b)", "", digits)
        found[str(round(float(digits) * SCALES[scale])) if scale else digits] += 1
    return found


def in_words(text):
    """Return the numbers that stand in a text in words, English or Chinese ones: a Counter."""
    found = Counter()
    for run in SPELLED.findall(text):
        number = 0
        for word in re.split(r"[ -]+", run.lower()):
            number = number * SCALES[word] if word in SCALES else number + WORDS[word]
        found[str(number)] += 1
    for run in CHINESE_NUMBER.findall(text):
        total = tens = digit = 0
        for value in (2 if sign == "两" else int(unicodedata.numeric(sign)) for sign in run):
            if value >= 10_000:
                total, tens, digit = total + (tens + digit or 1) * value, 0, 0
            elif value >= 10:
                tens, digit = tens + (digit or 1) * value, 0
            else:
                digit = value
        found[str(total + tens + digit)] += 1
    return found


def wrong_numbers(english, chinese, around):
    """Return the numbers that only one of two pieces has: a list.

    What is in digits in English has to be in Chinese as often, in digits or in words; what is in
    words, from three or third on, at least once. A number that is in digits in Chinese has to be
    in English, in the piece or around it.
    """
    one, other = plain(english), plain(chinese)
    ordinals = {str(ORDINALS[word]) for word in re.findall(r"\w+", one.lower()) if word in ORDINALS}
    spelled = in_words(one).keys() | ordinals
    lost = in_digits(one) - (in_digits(other) + in_words(other))
    unsaid = {"0", "1", "2"}  # which often go without saying
    lost += Counter(spelled - in_digits(other).keys() - in_words(other).keys() - unsaid)
    known = in_digits(around).keys() | spelled
    return [*lost, *(number for number in in_digits(other) if number not in known)]


def blocks(text):
    """Return the fenced blocks of a text without what is translated in them.

    That is: comments of Python and of the shell, and the words of a drawing.
    """
    found = []
    for language, block in BLOCK.findall(text):
        if language == "mermaid":
            block = re.sub(r'".*?"|: .*| as .*', "", block)
        elif language in ("py", "python", "pycon", "sh"):
            block = without_comments(block)
        found.append((language, block))
    return found


def different_lines(english, chinese):
    """Return the lines of blocks that are not the same in both texts, in pairs.

    A note in Chinese, after three spaces or more in a block of text, may stand for an English one.
    What the learner's loop shows may be in Chinese: then the other lines have to be in English.
    """
    wrong = []
    for one, other in zip_longest(blocks(english), blocks(chinese), fillvalue=("", "")):
        is_text = one[0] == other[0] == "text"
        if is_text and SAID_BY_LOOP.search(one[1]):
            kept = [line for line in other[1].splitlines() if not HAN.search(line)]
            wrong += [("", line) for line in kept if line not in one[1].splitlines()]
            continue
        for line, own in zip_longest(*(block.splitlines() for _, block in (one, other))):
            note = NOTE.fullmatch(own or "")
            if is_text and line and note and HAN.search(note[2]):
                line, own = NOTE.sub(r"\1", line), note[1]
            if line != own or one[0] != other[0]:
                wrong.append((line, own))
    return wrong


def differences(english, chinese):
    """Return in what a Chinese text is not like its English one: a list of sentences.

    Compared are the blocks; the paragraphs, items and rows in their order; and for each of them
    the code words, the numbers and the names of sources.
    """
    wrong = [
        f"in a block: {one!r}, but {other!r}" for one, other in different_lines(english, chinese)
    ]
    ours, theirs = pieces(chinese), pieces(english)
    kinds = [kind(piece) for piece in theirs], [kind(piece) for piece in ours]
    if kinds[0] != kinds[1]:
        return [*wrong, f"in English {', '.join(kinds[0])}; in Chinese {', '.join(kinds[1])}"]
    for one, other in zip(theirs, ours, strict=True):
        for what, find in (("code words", CODE.findall), ("sources", sources)):
            # A page is named as the reader's own: README.zh-CN.md
            a, b = Counter(find(one)), Counter(find(other.replace(".zh-CN.md", ".md")))
            if a != b:
                wrong.append(
                    f"{what} {[*(a - b)]} only in English, {[*(b - a)]} only here: {other}"
                )
        if numbers := wrong_numbers(one, other, english):
            wrong.append(f"numbers {numbers} in one language only: {other}")
    return wrong


def sources(piece):
    """Return the names of RFCs, PEPs and man pages in a piece."""
    return SOURCE.findall(plain(piece))
