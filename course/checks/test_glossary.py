"""The glossary is whole: each entry has its parts, in order, and links to where it is taught."""

import re

import pytest

from course.alike import differences
from course.chinese import ENTRY, INDEX, chinese_pages, fill_glossary, initial, name_of
from course.facts import anchor_of, section
from tests.harness import ROOT

MUST_HAVE = """
accept, backlog, bind, buffer, child, chunked, copy on write, CR LF, curl, deadline,
delayed acknowledgement, environ, ephemeral, EINTR, exit status, file descriptor, fork, framing,
header, header injection, hop-by-hop, init, interface, IP address, iterable, iterative, kernel,
listen, man page, monotonic clock, Nagle's algorithm, orphan, packet, parent, PEP, PID, port, POSIX,
prefork, process, proxy, race condition, reap, redirect, request line, reset, RFC, SIGCHLD, signal,
signal handler, socket, standard error, start_response, stream of bytes, subreaper, TCP, TIME-WAIT,
traceback, wait status, worker, WSGI, zombie
"""
TEXT = (ROOT / "GLOSSARY.md").read_text("utf-8")
ENTRIES = list(ENTRY.finditer(TEXT))
HAN = re.compile(r"[\u4e00-\u9fff]")
TERMS = {anchor_of(entry["term"]): (entry["term"], entry["chinese"]) for entry in ENTRIES}
LINK = re.compile(r"\[\**([^\]]+?)\**\]\([^)\s]*GLOSSARY\.md#([^)]+)\)")

entries = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["term"])


def test_each_entry_has_all_its_parts():
    rest = ENTRY.sub("", TEXT[TEXT.index("\n### ") + 1 : TEXT.index(INDEX)])
    assert not rest.strip(), f"GLOSSARY.md: an entry is not whole:\n{rest}"


def test_the_entries_are_in_alphabetical_order():
    terms = [entry["term"].casefold() for entry in ENTRIES]
    assert terms == sorted(set(terms)), "GLOSSARY.md: sort the entries, and name each term once."


def test_no_term_that_a_learner_must_know_is_missing():
    missing = {term.strip() for term in MUST_HAVE.split(",")} - {e["term"] for e in ENTRIES}
    assert not missing, f"GLOSSARY.md has no entry for {', '.join(sorted(missing))}."


def test_the_links_to_chinese_pages_and_the_index_are_those_of_the_entries():
    assert fill_glossary(TEXT) == TEXT, "GLOSSARY.md: run make prose"


@pytest.mark.parametrize(
    ("term", "letter"),
    [("重定向", "C"), ("传输层", "C"), ("首部注入", "S"), ("《UNIX》", "U"), ("作业", "Z")],
)
def test_a_chinese_term_is_found_by_the_first_letter_of_its_pinyin(term, letter):
    assert initial(term) == letter


@entries
def test_both_sides_have_the_same_code_numbers_and_sources(entry):
    assert not differences(entry["english_text"], entry["chinese_text"])


@entries
def test_the_link_leads_to_a_place_that_uses_the_term(entry):
    where = re.sub(r"step (\d)", r"step0\1_", entry["where"])
    assert entry["link"].startswith(where)
    text = " ".join(section(entry["link"]).split())
    assert re.search(rf"(?<!\w){re.escape(entry['term'])}", text, re.IGNORECASE), (
        f"GLOSSARY.md sends the reader to {entry['link']}. That place has no {entry['term']}."
    )


@pytest.mark.parametrize("page", chinese_pages(), ids=name_of)
def test_a_link_of_a_chinese_page_is_named_as_the_term_to_which_it_leads(page):
    for text, anchor in LINK.findall(page.read_text("utf-8")):
        term, own = TERMS[anchor]
        assert text in own or own in text or term.casefold() in text.casefold(), (
            f"{text} leads to GLOSSARY.md#{anchor}, which is {own}."
        )


@entries
def test_the_chinese_side_is_chinese_and_the_english_side_english(entry):
    assert HAN.search(entry["chinese_text"])
    assert HAN.search(entry["chinese"])
    assert len(re.findall(r"[A-Za-z]+", entry["english_text"])) >= 5
