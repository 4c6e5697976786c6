"""The page of the arena in a browser, with true servers: what it shows, says and sends."""

import contextlib
import itertools
import json
import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe

from arena.lanes import NO_FORK as WHY
from arena.lanes import lanes
from course.browser import needs_chromium
from course.checks.test_arena import NO_FORK, Arena, needs_fork
from course.loop import SITUATIONS
from tests.harness import PATIENCE, ROOT, wait_until

STEPS = ["step03_wsgi", "step04_fork", "step05_zombies", "step06_prefork"]
STATIC = ROOT / "arena" / "static"
SIZES = [(390, 844), (1280, 720), (1920, 1080)]  # pixels
# the times that so many drawings show
TIMES = """(count) => new Promise((resolve) => {
  const draw = lifelines.draw, times = [];
  lifelines.draw = function () {
    draw.call(this);
    times.push(this.t);
    if (times.length === count) resolve(times);
  };
})"""
# how many bars of a lane have this state where the window ends
BARS = """([lane, state]) => {
  const path = document.querySelector(`[data-lane=${lane}] .bars .${state}`);
  const t = lifelines.t;
  const bars = [...path.getAttribute("d").matchAll(/M([\\d.e+]+) [\\d.]+h([\\d.e+]+)/g)];
  return bars.filter(([, x, wide]) => x <= t && t < Number(x) + Number(wide)).length;
}"""

# all texts of the page, also those that are only read aloud, but for what is marked as English
ALL_WORDS = """() => {
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [document.title];
  for (const one of document.querySelectorAll("[aria-label]")) found.push(one.ariaLabel);
  while (nodes.nextNode()) {
    const { parentElement, data } = nodes.currentNode;
    if (!parentElement.closest("noscript, :lang(en)")) found.push(data.trim());
  }
  return found;
}"""
# the words of a language: each name, such as "page.title", and its text, or the code of a function
TABLE = """(language) => {
  const list = (table, path) =>
    Object.entries(table).flatMap(([name, word]) =>
      word.constructor === Object ? list(word, `${path}${name}.`) : [[path + name, `${word}`]],
    );
  const { said, ...words } = WORDS[language];
  return Object.fromEntries(list(words, ""));
}"""
STATES = {"works", "zombie", "waits", "served", "answered", "failed"}
NOBODY = {"kind": "hello", "lanes": [], "now": 1.0, "replay": True}

pytestmark = [needs_chromium, needs_fork]


@pytest.fixture(scope="module")
def arena():
    """A running arena."""
    with Arena() as running:
        running.wait_for_servers(*STEPS)
        yield running


@pytest.fixture
def show(page):
    """A function that opens the page of an arena; what the page then asks other hosts fails."""
    own, foreign = ["data:"], []

    def note(request):
        if not request.url.startswith(tuple(own)):
            foreign.append(request.url)

    page.on("request", note)

    def open_at(arena):
        own.append(arena.url)
        page.goto(arena.url)
        page.wait_for_selector("[data-lane]")
        page.evaluate(TIMES, 10)
        return page

    yield open_at
    assert not page.complaints, f"The browser's console shows: {page.complaints}"
    assert not foreign, f"The page asks other hosts: {foreign}"


def renew(page):
    """Stop all servers, and start them again: what happened before is over."""
    page.keyboard.press("t")
    wait_until(lambda: page.locator(".ended:not(:empty)").count() == 4, "They do not stop.")
    page.keyboard.press("r")
    wait_until(lambda: page.locator(".ended:not(:empty)").count() == 0, "They do not start.")
    zombies = page.locator(".zombies dd")
    wait_until(lambda: {*zombies.all_text_contents()} == {"0"}, "It still counts what was before.")


def labels(page, lane, state):
    """Return the labels of what is in a state: ["slow 3 served 1.2 s"]."""
    return page.locator(f"[data-lane={lane}] .labels .{state} text").all_text_contents()


def twin(page, lane):
    """Return the sentence that says what a lane shows."""
    return page.inner_text(f"[data-lane={lane}] .twin")


def number(page, lane, key):
    """Return one of the large numbers of a lane."""
    return int(page.inner_text(f"[data-lane={lane}] .numbers .{key} dd"))


def clock(page):
    """Return the text at the end of the axis: "now", or how long ago it was."""
    return page.locator(".axis text").first.text_content()


def test_a_slow_client_pressed_three_times_shows_three_running_clocks(arena, show):
    page = show(arena)
    renew(page)
    for _ in range(3):
        page.keyboard.press("s")
    wait_until(lambda: number(page, "step04_fork", "zombies") == 3, "All end.", 3 * PATIENCE)
    page.keyboard.press("Space")  # it has been seen, and can be looked at without haste
    while len(labels(page, "step04_fork", "served")) < 3:
        page.keyboard.press("ArrowLeft")

    def clocks():
        texts = labels(page, "step04_fork", "served") + labels(page, "step03_wsgi", "waits")
        found = [re.fullmatch(r"slow (\d+) (served|waits) (\d\.\d) s", text) for text in texts]
        assert all(found), f"The labels are {texts}."
        assert [match[2] for match in found] == ["served"] * 3 + ["waits"] * 2
        return [float(match[3]) for match in found]

    after = clocks()
    assert re.fullmatch(r"2 clients wait, .* for \d s, 1 is served", twin(page, "step03_wsgi"))
    assert twin(page, "step04_fork") == "3 are served, 3 children work"
    page.keyboard.press("ArrowLeft")
    assert clocks() == pytest.approx([seconds - 0.5 for seconds in after], abs=0.11)


def test_sentence_numbers_bars_and_list_say_the_same(arena, show):
    page = show(arena)
    renew(page)
    page.keyboard.press("b")
    wait_until(lambda: number(page, "step04_fork", "at_work") >= 40, "Fifty children work.")
    wait_until(lambda: number(page, "step04_fork", "zombies") == 50, "All of them are zombies.")
    wait_until(lambda: number(page, "step05_zombies", "at_work") == 0, "On step 5 none is left.")
    page.keyboard.press("Space")
    page.click("[data-lane=step04_fork] summary")
    page.keyboard.press("ArrowRight")  # draws once more
    for lane, count in [("step04_fork", 50), ("step05_zombies", 0)]:
        assert number(page, lane, "zombies") == count
        assert page.evaluate(BARS, [lane, "zombie"]) == count
    assert twin(page, "step04_fork") == "50 zombies"
    assert twin(page, "step05_zombies") == "no client is here"
    assert labels(page, "step04_fork", "zombie") == ["50 zombies"]
    items = page.locator("[data-lane=step04_fork] li").all_inner_texts()
    assert sum(bool(re.fullmatch(r"\d+ zombie [\d.]+ s", item)) for item in items) == 50
    waiting = page.evaluate(BARS, ["step03_wsgi", "waits"])
    assert twin(page, "step03_wsgi").startswith(f"{waiting} clients wait, the longest for ")
    counted = number(page, "step03_wsgi", "waiting")  # a moment before: one may be served since
    assert 30 < waiting <= counted <= waiting + 1


def test_a_crash_on_step_6_brings_another_worker_and_ends_step_3(arena, show):
    page = show(arena)
    renew(page)

    def workers():
        now = labels(page, "step06_prefork", "works")
        return {text.split()[0] for text in now} if len(now) == 2 else None

    before = wait_until(workers, "There are no two workers.")
    page.keyboard.press("x")
    ended = page.locator("[data-lane=step03_wsgi] .ended")
    wait_until(lambda: ended.inner_text().startswith("Died: "), "Step 3 says that it died.")

    wait_until(lambda: (workers() or before) != before, "No other worker takes its place.")


def test_a_pid_can_be_selected_while_it_runs(arena, show):
    page = show(arena)
    renew(page)
    pid = page.locator("[data-lane=step06_prefork] .labels .server .name")
    text = pid.text_content()
    pid.dblclick()
    page.evaluate(TIMES, 10)
    assert page.evaluate("String(getSelection())").strip() == text
    assert page.evaluate("getSelection().anchorNode.isConnected"), "The element was built again."


def test_pause_back_and_step_move_all_lanes_through_time(arena, show):
    page = show(arena)
    renew(page)
    page.keyboard.press("c")
    wait_until(lambda: number(page, "step04_fork", "zombies") == 1, "A client leaves a zombie.")
    page.keyboard.press("Space")
    paused = page.evaluate("lifelines.t")
    assert page.inner_text("#pause").startswith("Play")
    page.keyboard.press("c")  # what is sent is seen: the page goes on
    wait_until(lambda: number(page, "step04_fork", "zombies") == 2, "It does not go on.")
    page.get_by_role("button", name="Pause").click()
    while page.evaluate("lifelines.t") > paused:
        page.keyboard.press("ArrowLeft")
    assert number(page, "step04_fork", "zombies") == page.evaluate(BARS, ["step04_fork", "zombie"])
    assert re.fullmatch(r"\d+\.\d s ago", clock(page))
    page.set_viewport_size({"width": 1000, "height": 700})
    wide = page.locator("[data-lane=step04_fork] .plot").evaluate("plot => plot.clientWidth")
    axis = page.locator(".axis svg")
    wait_until(
        lambda: axis.get_attribute("viewBox").startswith(f"0 0 {wide} "),
        "While it pauses, it is not drawn for another size of the window.",
    )
    back = page.evaluate("lifelines.t")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("lifelines.t") == pytest.approx(back + 0.5)
    page.keyboard.press("Space")
    wait_until(lambda: clock(page) == "now", "Play does not lead to what is now.")
    page.keyboard.press("l")
    wait_until(lambda: clock(page) != "now", "Nothing is shown again.")
    assert page.get_attribute("#again", "aria-pressed") == "true"
    page.keyboard.press("l")
    wait_until(lambda: clock(page) == "now", "It is shown again forever.")


def test_each_key_presses_its_button_unless_keys_are_switched_off(arena, show):
    page = show(arena)
    sent = []

    def note(route):
        sent.append(route.request.post_data_json)
        route.fulfill(status=204)

    page.route("**/do", note)
    actions = ["client", "slow", "burst", "silent", "crash", "stop", "start"]
    for key in "csbnxtr":
        with page.expect_response("**/do"):
            page.keyboard.press(key)
    assert sent == [{"action": action, "lane": None} for action in actions]
    with page.expect_response("**/do"):
        page.get_by_role("button", name="Slow client").click()
    page.keyboard.press("Space")  # the button has been clicked, but this key is for Pause
    assert page.evaluate("lifelines.paused") and len(sent) == 8
    page.keyboard.press("4")
    page.keyboard.press("5")
    assert page.locator("[data-lane=step04_fork].lane").is_hidden()
    with page.expect_response("**/do"):
        page.keyboard.press("c")
    assert sent[-1] == {"action": "client", "lane": ["step03_wsgi", "step06_prefork"]}
    assert page.inner_text("#message") == "Client: sent to Step 3 and Step 6."
    page.keyboard.press("3")
    page.keyboard.press("6")  # one lane is always seen
    assert page.locator(".lane:visible").get_attribute("data-lane") == "step06_prefork"
    page.reload()
    page.wait_for_selector("[data-lane=step06_prefork].lane")
    assert page.locator(".lane:visible").count() == 1, "It forgets which lanes are shown."
    page.keyboard.press("p")
    assert not page.is_visible("footer"), "Projector mode shows what nobody reads from afar."
    page.keyboard.press("p")
    page.uncheck("#keys")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("c")
    page.keyboard.press("Space")
    assert len(sent) == 9 and not page.evaluate("lifelines.paused")


def test_it_works_by_keyboard_alone(arena, show):
    page = show(arena)
    names = []
    while "Look again" not in names:
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.innerText.split('\\n')[0].trim()"))
        names[-1] = re.sub(r" \S+$", "", names[-1]) if "Step" not in names[-1] else names[-1]
    assert page.evaluate("document.activeElement.matches(':focus-visible')")
    page.keyboard.press("Space")  # a button that has the focus keeps its space key
    wait_until(lambda: clock(page) != "now", "The space key does not press the button.")
    assert not page.evaluate("lifelines.paused")


def test_on_a_phone_one_lane_is_shown_alone(arena, show, page):
    page.set_viewport_size({"width": 390, "height": 844})
    show(arena)
    shown = page.locator(".lane:visible")
    assert shown.get_attribute("data-lane") == "step03_wsgi"
    page.get_by_role("button", name="Step 4").click()
    assert shown.get_attribute("data-lane") == "step04_fork"
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, f"On a screen of 390 pixels the page is {wide} wide."


def test_who_prefers_less_motion_gets_two_drawings_a_second(arena, show, page):
    page.emulate_media(reduced_motion="reduce")
    show(arena)
    times = sorted({*page.evaluate(TIMES, 6)})  # what has a new size is drawn again at its time
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) > 1 and min(gaps) > 0.45, f"It moves every {gaps} seconds."


def test_print_shows_the_lanes_and_no_buttons(arena, show, page):
    show(arena)
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.is_visible("#pause") and page.is_visible("[data-lane=step03_wsgi] .twin")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(252, 252, 250)", f"A page of paper is {paper}."


def test_a_stream_that_breaks_comes_back(arena, show):
    page = show(arena)
    page.route("**/events", lambda route: route.fulfill(status=503))
    page.reload()
    message = page.locator("#message")
    wait_until(lambda: "does not answer" in message.inner_text(), "The page does not say it.")
    page.unroute("**/events")
    wait_until(lambda: message.inner_text() == "The arena answers again.", "It does not try again.")
    assert page.locator(".lane:visible").count() == 4
    page.evaluate(TIMES, 10)
    assert any("503" in line for line in page.complaints)
    page.complaints.clear()


def test_without_fork_the_page_says_why_lanes_are_missing(show):
    with Arena(program=("-c", NO_FORK)) as arena:
        arena.wait_for_servers("step03_wsgi")
        page = show(arena)
        assert "os.fork" in twin(page, "step04_fork")
        assert page.get_by_role("button", name="Step 4").is_disabled()
        page.keyboard.press("c")
        wait_until(lambda: "Client: sent to all" in page.inner_text("#message"), "Nothing is sent.")


def test_another_arena_at_the_same_address_is_another_beginning(page):
    with Arena() as first:
        first.wait_for_servers(*STEPS)
        page.goto(first.url)
        page.wait_for_selector("[data-lane]")
        page.evaluate(TIMES, 10)
        old = page.locator("[data-lane=step04_fork] .labels .server .name").text_content()
    wait_until(lambda: "does not answer" in page.inner_text("#message"), "It does not say it.")
    with Arena("--port", first.url.rpartition(":")[2]) as second:
        wait_until(lambda: "answers again" in page.inner_text("#message"), "It does not see it.")
        pid = second.wait_for_servers("step04_fork")[0]
        name = page.locator("[data-lane=step04_fork] .labels .server .name")
        wait_until(lambda: name.all_text_contents() == [str(pid)], f"It still shows {old}.")


def test_a_saved_minute_plays_with_no_server_behind_it(arena, show, tmp_path):
    page = show(arena)
    renew(page)
    page.keyboard.press("b")
    wait_until(lambda: number(page, "step04_fork", "zombies") == 50, "There are no fifty zombies.")
    quiet = "no client is here"
    wait_until(lambda: twin(page, "step05_zombies") == quiet, "Step 5 is still busy.")
    live = page.evaluate("lifelines.newest")
    with page.expect_download() as download:
        page.click("#save")
    saved = tmp_path / "minute.json"
    download.value.save_as(saved)
    with Arena("--replay", saved) as replay:
        show(replay)
        assert page.get_by_role("button", name="Burst of 50").is_disabled()
        assert not page.is_visible("#save")
        assert re.fullmatch(r"[\d.]+ s of [\d.]+ s", clock(page))
        page.keyboard.press("Space")
        while page.evaluate("lifelines.t < lifelines.newest"):
            page.keyboard.press("ArrowRight")
        assert page.evaluate("lifelines.newest") >= live
        assert number(page, "step04_fork", "zombies") == 50
        assert page.evaluate(BARS, ["step04_fork", "zombie"]) == 50
        assert twin(page, "step05_zombies") == quiet
        page.keyboard.press("l")
        wait_until(lambda: not page.evaluate("lifelines.paused"), "It does not play again.")


def open_alone(page, folder, events):
    """Open a page of files that plays a recording: words.js, lifelines.js, and no server."""
    for name in ("words.js", "lifelines.js", "arena.css"):
        shutil.copy(STATIC / name, folder)
    (folder / "page.js").write_text(
        f"const lifelines = new Lifelines(document.body);\nlifelines.load({json.dumps(events)});"
    )
    (folder / "page.html").write_text(
        '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="arena.css"><body>'
        '<script src="words.js"></script><script src="lifelines.js"></script>'
        '<script src="page.js"></script>'
    )
    page.goto((folder / "page.html").as_uri())


def test_lifelines_js_plays_a_recording_in_a_page_of_its_own(page, tmp_path):
    lane = {"lane": "step04_fork", "title": "Step 4", "claim": "", "available": True, "why": ""}
    about = {"lane": "step04_fork"}
    client = {"kind": "client", "id": 1, "what": "slow"} | about
    server = {"kind": "process", "pid": 300, "role": "server"} | about
    child = {"kind": "process", "pid": 301, "role": "child"} | about
    events = [
        {"kind": "hello", "lanes": [lane], "now": 9.0, "replay": True},
        server | {"t": 0.5, "state": "works"},
        client | {"t": 2.0, "state": "waits", "words": ""},
        client | {"t": 3.0, "state": "served", "words": ""},
        child | {"t": 3.0, "state": "works"},
        client | {"t": 6.5, "state": "answered", "words": "200 OK"},
        child | {"t": 6.5, "state": "zombie"},
    ]
    open_alone(page, tmp_path, events)
    assert page.evaluate("lifelines.t") == 1.0, "It begins a second before the first client."
    page.evaluate("lifelines.play()")
    page.evaluate(TIMES, 10)
    page.evaluate("lifelines.pause()")
    assert page.evaluate("lifelines.t") > 1.0, "It does not play."
    page.evaluate("lifelines.step(-60)")
    for seconds, sentence, texts in [
        (0, "no client is here", ["300 server"]),
        (1.5, "1 client waits, for 0 s", ["300 server", "slow 1 waits 0.5 s"]),
        (
            2.5,
            "1 is served, 1 child works",
            ["300 server", "301 works 2.0 s", "slow 1 served 2.0 s"],
        ),
        (
            60,
            "1 zombie",
            ["300 server", "301 zombie 2.5 s", "slow 1 \u2713 4.5 s"],
        ),
    ]:
        page.evaluate("seconds => lifelines.step(seconds)", seconds)
        assert twin(page, "step04_fork") == sentence
        assert sorted(page.locator(".labels text").all_text_contents()) == texts
    assert page.evaluate("lifelines.t") == 9.0, "It ends when the recording was saved."
    page.evaluate("lifelines.step(-0.5)")
    page.evaluate("lifelines.play()")
    wait_until(lambda: page.evaluate("lifelines.paused"), "It does not stop at the end.")
    begin = page.evaluate("(lifelines.play(), lifelines.t)")
    assert begin == 1.0, "It does not play again from the beginning."
    assert not page.complaints, f"The browser's console shows: {page.complaints}"


def test_with_two_hundred_processes_a_lane_it_moves_five_times_a_second(page, tmp_path):
    lanes = [{"lane": n, "title": n, "claim": "", "available": True, "why": ""} for n in STEPS]
    events = [{"kind": "hello", "lanes": lanes, "now": 60.0, "replay": True}]
    for number in range(230):
        t = 1 + number * 0.1 if number > 190 else 1.0
        for lane in STEPS:
            client = {"kind": "client", "lane": lane, "id": number, "what": "slow", "words": ""}
            child = {"kind": "process", "lane": lane, "pid": number, "role": "child"}
            events += [client | {"t": t, "state": "waits"}, child | {"t": t, "state": "works"}]
            events += [client | {"t": t + 1, "state": "served"}]
            if number > 190:
                events += [client | {"t": t + 2, "state": "answered"}]
                events += [child | {"t": t + 2, "state": "zombie"}]
    page.set_viewport_size({"width": 1920, "height": 1080})
    open_alone(page, tmp_path, [events[0], *sorted(events[1:], key=lambda event: event["t"])])
    page.evaluate("lifelines.step(18)")
    page.evaluate("lifelines.play()")
    meter = page.context.new_cdp_session(page)
    meter.send(
        "Performance.enable", {"timeDomain": "threadTicks"}
    )  # CPU time, also where others run

    def seconds():
        metrics = meter.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    begin = seconds()
    times = page.evaluate(TIMES, 40)
    each = (seconds() - begin) / len(times)
    assert each < 0.05, f"Each drawing takes {each:.3f} seconds of a core."
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps) < 0.2, f"It moves every {gaps} seconds."
    assert len(page.query_selector_all(".bars path")) == 4 * 6, "Bars are elements of their own."


@pytest.mark.parametrize(
    "wish, language, other",
    [
        ("en-GB", "en", "中文"),
        ("zh-CN", "zh-CN", "English"),
        ("zh-TW", "zh-CN", "English"),
        ("fr-FR", "en", "中文"),
    ],
)
def test_the_page_speaks_as_the_browser_wishes_until_it_is_switched(
    arena, browser, wish, language, other
):
    with contextlib.closing(browser.new_context(locale=wish)) as context:
        page = context.new_page()
        page.goto(f"{arena.url}/#step04_fork")

        def spoken():
            page.wait_for_selector("[data-lane]")
            assert page.locator(".lane:visible").count() == 1, "It forgets which lanes are shown."
            return page.evaluate("document.documentElement.lang"), page.title()

        first = spoken()
        assert first == (language, {"en": "The arena", "zh-CN": "竞技场"}[language])
        with page.expect_navigation():
            page.get_by_role("button", name=other).click()
        second = spoken()
        assert second != first
        page.reload()
        assert spoken() == second, "It forgets what was chosen."
        with page.expect_navigation():
            page.click("#language")
        assert spoken() == first


def test_no_english_is_left_on_the_chinese_page(arena, show):
    page = show(arena)
    page.goto(f"{arena.url}/?lang=zh-CN")
    page.wait_for_selector("[data-lane]")
    page.click("[data-lane=step04_fork] summary")
    page.click("h1")  # the summary keeps the space key while it has the focus
    renew(page)
    seen = set()
    for key, what in [
        ("s", "正在服务 1 个"),
        ("x", "意外终止"),
        ("b", "个僵尸进程；"),
        ("t", "已停止"),
        ("c", "连接被拒绝"),
        ("Space", "播放"),
        ("ArrowLeft", "秒前"),
    ]:
        page.keyboard.press(key)

        def is_said(what=what):
            seen.update(page.evaluate(ALL_WORDS))
            return any(what in text for text in seen)

        wait_until(is_said, f"After {key} nothing says {what}.")
    renew(page)
    of_servers = re.compile(r"SIG[A-Z]+|\b\d{3} [A-Z][A-Za-z ]+")  # signals and status lines
    assert not [text for text in seen if re.search("[A-Za-z]{2}", of_servers.sub("", text))]


def test_each_word_has_its_chinese_and_none_is_left_over(page, tmp_path):
    open_alone(page, tmp_path, [NOBODY])
    english, chinese = (page.evaluate(TABLE, language) for language in ("en", "zh-CN"))
    assert english.keys() == chinese.keys()
    same = {name for name, text in english.items() if text == chinese[name]}
    assert same == {"answered", "failed", "unknown"}, "These are not translated."
    html = (ROOT / "arena" / "templates" / "arena.html").read_text("utf-8")
    text = re.sub(r"<(noscript|title|kbd).*?</\1>|<.*?>", "", html, flags=re.DOTALL)
    assert not text.strip(), "These words of arena.html are not in words.js."
    drawing, script = (
        re.findall(r"words\.(\w+)", (STATIC / f"{name}.js").read_text("utf-8"))
        for name in ("lifelines", "arena")
    )
    of_page = {*script, *re.findall(r'data-(?:word|label)="(\w+)"', html)} - {"page"}
    used = {*drawing, *(f"page.{name}" for name in of_page), *STATES}
    assert used - {"said", "js"} == {re.match(r"(page\.)?\w+", name)[0] for name in english}


def test_what_the_arena_says_has_its_chinese(page, tmp_path):
    said = [text for lane in lanes(["a"]) for text in (lane.title, lane.claim) if text != "a"]
    source = (ROOT / "arena" / "clients.py").read_text("utf-8")
    said += re.findall(r'(?:words = |OSError\(|False, )f?"(.+?)"', source)
    said = [re.sub("{.*?}", "503", text) for text in said]
    said += [WHY, "exit status 1", "the signal SIGKILL"]
    [refused] = [words for words in SITUATIONS if "argument" in words]  # of an earlier step
    said += [f"{refused}'a:b', and ended with exit status 2: 'c'.\nAnd more."]
    open_alone(page, tmp_path, [NOBODY])
    chinese = page.evaluate("said => said.map((text) => translate(text, WORDS['zh-CN']))", said)
    assert not [text for text in chinese if not re.search(r"[\u4e00-\u9fff]", text)]
    rows = "said => WORDS['zh-CN'].said.map(([english]) => said.some((text) => english.test(text)))"
    assert all(page.evaluate(rows, said)), "The arena does not say all that words.js translates."


@pytest.mark.parametrize("scheme, locale", [("light", "en-US"), ("dark", "zh-CN")])
def test_axe_finds_no_barrier(arena, browser, scheme, locale):
    axe = Axe()
    context = browser.new_context(color_scheme=scheme, locale=locale, bypass_csp=True)
    with contextlib.closing(context):
        page = context.new_page()
        page.goto(f"{arena.url}/#step03_wsgi,step04_fork,step06_prefork")
        page.wait_for_selector("[data-lane]")
        page.keyboard.press("s")
        page.keyboard.press("b")
        page.click("[data-lane=step04_fork] summary")
        items = page.locator("[data-lane=step04_fork] li")
        wait_until(
            lambda: items.count() > 100,
            lambda: f"The list has {items.count()} items: {items.all_inner_texts()}",
        )
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate(TIMES, 2)
            found = axe.run(page)
            assert found.violations_count == 0, f"{width}: {found.generate_report()}"
