"""The page of arena/processes.py: what it shows is true, as data and in a browser."""

import contextlib
import json
import os
import re
import signal
import struct
import subprocess
import sys

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe

from course.browser import FORKING, each, needs_chromium
from tests.harness import ROOT, Server, connect, get, parse_reply, post, receive_all, wait_until

PAGE_STEPS = ["step03_wsgi", *FORKING]
ZOMBIES = "#counts .count:has(dt:text-is('zombies')) dd"
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def start(step):
    """Return a running server of a step, with its Flask application."""
    command = [sys.executable, str(ROOT / step / "server.py"), "arena.processes:app", "--port", "0"]
    return Server(command + (["--workers", "4"] if step == "step06_prefork" else []), cwd=ROOT)


def look(server):
    """Return what /processes.json says."""
    return json.loads(get(server, "/processes.json").body)


def zombies_of(server):
    """Return how many zombies a server has for children, seen from outside."""
    states = []
    for child in psutil.Process(server.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            states.append(child.status())
    return states.count(psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("step", each(PAGE_STEPS))
def test_the_data_are_about_this_request_and_these_processes(step):
    with start(step) as server, connect(server) as connection:
        client = "{}:{}".format(*connection.getsockname())
        connection.sendall(b"GET /processes.json HTTP/1.1\r\nHost: test\r\n\r\n")
        reply = parse_reply(receive_all(connection))
        data = json.loads(reply.body)
        assert reply.header("Cache-Control") == "no-store"
        served_by, processes = data["served_by"], data["processes"]
        assert served_by["client"] == client
        assert served_by["server"] == "{}:{}".format(*server.address)
        assert processes[0]["role"] == "server" and processes[0]["pid"] == server.pid
        assert all(row["ppid"] == server.pid and row["role"] == "child" for row in processes[1:])
        assert served_by["pid"] in [row["pid"] for row in processes], "Who made this page?"
        assert data["multiprocess"] == (step in FORKING)
        assert (served_by["pid"] == server.pid) == (step not in FORKING)
        own = psutil.Process(server.pid)
        assert abs(processes[0]["memory"] - own.memory_info().rss) < 20 * 1024 * 1024
        assert 0 < processes[0]["cpu_time"] <= sum(own.cpu_times()[:2]) + 0.01
        assert 0 <= processes[0]["age"] < 60
        if hasattr(own, "num_fds"):
            assert own.num_fds() <= processes[0]["descriptors"] <= own.num_fds() + 3


@needs_fork
def test_each_look_at_step_4_leaves_one_zombie_more():
    with start("step04_fork") as server:
        for number in range(5):
            wait_until(lambda n=number: zombies_of(server) == n, f"There are not {number} zombies.")
            data = look(server)
            assert data["counts"] == {"at_work": 1, "zombies": number}
            states = [row["state"] for row in data["processes"]]
            assert states.count("zombie") == number
        zombie = look(server)["processes"][-1]
        assert zombie["state"] == "zombie" and not zombie["memory"] and not zombie["descriptors"]


@needs_fork
def test_all_zombies_are_counted_and_the_youngest_two_hundred_listed():
    with start("step04_fork") as server:
        for number in range(1, 6):
            assert post(server, "/burst", b"").body == b"50 clients came at once.\n"
            wait_until(lambda n=number: zombies_of(server) == 51 * n, "A burst is 50 clients.")
        data = look(server)
        assert data["counts"]["zombies"] == 255
        assert len(data["processes"]) == 200
        ages = [row["age"] for row in data["processes"][1:]]
        assert ages == sorted(ages), "The youngest comes first."
        assert b"And 233 more" in get(server, "/processes").body


@needs_fork
@pytest.mark.parametrize("step", FORKING)
def test_a_child_can_be_crashed_and_the_server_lives_on(step):
    with start(step) as server:
        reply = post(server, "/die", b"")
        assert (reply.status, reply.body.split()[0], reply.is_whole) == (200, b"Process", True)
        child = int(reply.body.split()[1])
        assert child != server.pid
        if step != "step04_fork":
            server.wait_for_line(rf"{child} ended with -9")
        assert get(server).status == 200, "One child was killed, and the server does not answer."


def test_where_there_is_no_child_the_server_does_not_crash_itself():
    with start("step03_wsgi") as server:
        assert post(server, "/die", b"").status == 409
        assert get(server).status == 200


@needs_fork
def test_a_child_that_outlives_its_server_shows_no_other_process():
    with start("step04_fork") as server, connect(server) as connection:
        child = wait_until(lambda: psutil.Process(server.pid).children(), "There is no child.")[0]
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        connection.sendall(b"GET /processes.json HTTP/1.1\r\nHost: test\r\n\r\n")
        data = json.loads(parse_reply(receive_all(connection)).body)
        assert data["served_by"]["pid"] == child.pid
        assert data["processes"] == [] and data["counts"] == {"at_work": 0, "zombies": 0}


@needs_fork
def test_a_child_that_outlives_its_server_still_makes_the_page():
    with start("step04_fork") as server, connect(server) as connection:
        wait_until(lambda: psutil.Process(server.pid).children(), "There is no child.")
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        connection.sendall(b"GET /processes HTTP/1.1\r\nHost: test\r\n\r\n")
        assert parse_reply(receive_all(connection)).status == 200


@pytest.mark.parametrize("step", each(PAGE_STEPS))
def test_the_page_allows_nothing_but_its_own_style_and_script(step):
    with start(step) as server:
        reply = get(server, "/processes")
    policy = reply.header("Content-Security-Policy")
    sources = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for kind in ("style-src", "script-src"):
        source = sources.pop(kind)
        assert re.fullmatch(r"'sha256-[\w+/=]+'", source), f"{kind} is {source}"
    assert sources == {
        "default-src": "'none'",
        "img-src": "data:",  # the empty icon: else the browser would ask for one
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert reply.header("Cache-Control") == "no-store", "A browser may show an old page."
    assert not re.search(rb"(src|href|action)=.(https?:)?//", reply.body), (
        "It loads from elsewhere."
    )


@pytest.fixture
def open_page(page):
    """A function that opens /processes of a server; page.foreign: requests to other hosts."""
    page.foreign = []

    def open_at(server):
        def note(request):
            if not request.url.startswith((server.url, "data:")):
                page.foreign.append(request.url)

        page.on("request", note)
        page.goto(f"{server.url}/processes")
        return page

    yield open_at
    assert not page.complaints, f"The browser's console shows: {page.complaints}"
    assert not page.foreign, f"The page asks other hosts: {page.foreign}"


def shown(page):
    """Return how many zombies the page shows."""
    return int(page.inner_text(ZOMBIES))


@needs_chromium
@needs_fork
def test_on_step_4_the_zombies_grow_while_the_page_is_open(open_page):
    with start("step04_fork") as server:
        page = open_page(server)
        counts = [shown(page)]
        for _ in range(3):
            wait_until(lambda: shown(page) > counts[-1], "The page shows no new zombie.")
            counts.append(shown(page))
        assert counts == [0, 1, 2, 3], f"The page shows one after another: {counts} zombies."
        assert page.locator("#wall .zombie").count() == 3
        assert page.locator("td.state:text-is('zombie')").count() == 3
        assert page.title() == "zombies: 3 (step04_fork)"
        assert "zombies from 0 to 3" in page.inner_text("#caption")
        assert page.locator("#counts .alarm").count() == 1, "Zombies are marked by colour."


@needs_chromium
@needs_fork
@pytest.mark.parametrize("step", [step for step in FORKING if step != "step04_fork"])
def test_from_step_5_on_no_zombie_is_left_a_second_after_a_burst(open_page, step):
    with start(step) as server:
        page = open_page(server)
        page.click("text=A burst of 50")
        page.wait_for_selector("#message:has-text('50 clients came at once.')")
        page.wait_for_timeout(1000)  # this much time it has
        page.wait_for_event("requestfinished")
        wait_until(lambda: shown(page) == 0, "The page still shows zombies.")
        assert zombies_of(server) == 0
        assert get(server).status == 200


@needs_chromium
@needs_fork
def test_on_step_4_fifty_zombies_stay_after_a_burst(open_page):
    with start("step04_fork") as server:
        page = open_page(server)
        page.click("text=A burst of 50")
        wait_until(lambda: shown(page) > 50, "The page shows no fifty zombies.")


@needs_chromium
def test_on_step_3_a_slow_request_holds_up_the_page_and_it_says_so(open_page):
    with start("step03_wsgi") as server:
        page = open_page(server)
        assert page.get_by_role("button", name="Crash a child").is_disabled()
        page.get_by_role("button", name="One slow request").click()
        page.wait_for_selector("#waiting:has-text('This page waits for the server: 3 s')")
        page.wait_for_selector(f"#message:has-text('Process {server.pid} slept 5.0 seconds.')")
        wait_until(lambda: not page.inner_text("#waiting").strip(), "It says so for ever.")


@needs_chromium
@needs_fork
@pytest.mark.parametrize("step", FORKING)
def test_with_a_process_for_each_client_a_slow_request_holds_up_nobody(open_page, step):
    with start(step) as server:
        page = open_page(server)
        answers = []
        page.on("requestfinished", lambda request: answers.append(request.url))
        page.get_by_role("button", name="One slow request").click()
        if step != "step06_prefork":  # there the workers are always at work
            page.wait_for_selector("#counts[data-at-work='2']")
        while f"{server.url}/slow?seconds=5" not in answers:
            page.wait_for_event("requestfinished")
        assert len(answers) > 3, "While the slow request was served, the page was not refreshed."
        assert page.inner_text("#waiting").strip() == ""


@needs_chromium
@needs_fork
def test_a_button_sends_one_request_at_a_time(open_page):
    with start("step04_fork") as server:
        page = open_page(server)
        asked = []
        page.on("request", lambda request: asked.extend(re.findall("/slow", request.url)))
        button = page.get_by_role("button", name="One slow request")
        button.focus()
        for _ in range(3):
            page.keyboard.press("Enter")
        page.wait_for_selector("#message:has-text('slept 5.0 seconds.')")
        assert len(asked) == 1, f"Three times Enter sent {len(asked)} slow requests."


@needs_chromium
@needs_fork
def test_the_page_says_that_the_server_has_ended(page):
    with start("step05_zombies") as server:
        page.goto(f"{server.url}/processes")
        server.send_signal(signal.SIGTERM)
        page.wait_for_selector("#waiting:has-text('No answer. Has the server ended?')")


@needs_chromium
@needs_fork
def test_the_chart_forgets_what_is_older_than_a_minute(open_page, page):
    page.clock.install()
    with start("step05_zombies") as server:
        open_page(server)
        points = page.locator("#chart polyline").first
        for seconds in (30, 30, 30):
            page.clock.fast_forward(seconds * 1000)
            page.wait_for_event("requestfinished")
        wait_until(
            lambda: 1 < len(points.get_attribute("points").split()) < 4,
            "The chart shows more than its minute.",
        )
        past = int(re.search(r"last (\d+) seconds", page.inner_text("#caption"))[1])
        assert past <= 60, f"The chart of the last minute shows {past} seconds."


@needs_chromium
@needs_fork
def test_it_works_by_keyboard_alone(open_page):
    with start("step05_zombies") as server:
        page = open_page(server)
        names = []
        while "Pause" not in names:
            page.keyboard.press("Tab")
            names.append(page.evaluate("document.activeElement.innerText"))
        assert names == ["One slow request", "A burst of 50", "Crash a child", "Pause"]
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#message:has-text('ends here, by SIGKILL.')")
        server.wait_for_line("ended with -9")
        focus = page.evaluate("document.activeElement.innerText")
        assert focus == "Crash a child", f"The button lost the focus to {focus!r}."
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.wait_for_selector("#pause[aria-pressed=true]")
        asked = len([line for line in server.output() if "GET /processes" in line])
        page.wait_for_timeout(2500)
        now = len([line for line in server.output() if "GET /processes" in line])
        assert now <= asked + 1, "The page asks on, although it pauses."


@needs_chromium
@needs_fork
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("step", ["step03_wsgi", "step04_fork"])
def test_axe_finds_no_barrier_and_a_phone_needs_no_sideways_scroll(browser, step, scheme):
    axe = Axe()
    with start(step) as server:
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": 360, "height": 740}, bypass_csp=True
        )
        with contextlib.closing(context):
            page = context.new_page()
            page.goto(f"{server.url}/processes")
            page.wait_for_selector("#chart")
            page.wait_for_event("requestfinished")
            found = axe.run(page)
            assert found.violations_count == 0, found.generate_report()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 360, f"On a screen of 360 pixels the page is {wide} wide."


@needs_chromium
@pytest.mark.parametrize("step", each(PAGE_STEPS))
def test_without_script_the_page_is_complete(browser, step):
    with start(step) as server:
        for _ in range(3):
            get(server)
        context = browser.new_context(java_script_enabled=False)
        with contextlib.closing(context):
            page = context.new_page()
            page.goto(f"{server.url}/processes")
            text = page.inner_text("body")
            assert str(server.pid) in text and re.search(r"127\.0\.0\.1:\d+", text)
            assert shown(page) == (3 if step == "step04_fork" else 0)
            assert "Load it again" in text, "The page does not say that it stands still."
            assert not page.is_visible("#pause") and not page.is_visible("#chart")
            page.click("text=A burst of 50")
            assert "50 clients came at once." in page.inner_text("body")
            page.go_back()
            page.reload()
            assert shown(page) >= (50 if step == "step04_fork" else 0)


@needs_chromium
@needs_fork
def test_the_pictures_can_be_taken_again(tmp_path):
    command = [sys.executable, "-m", "arena.take_pictures", "--seconds", "1"]
    subprocess.run([*command, "--folder", tmp_path], cwd=ROOT, check=True, timeout=60)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in (ROOT / "arena" / "pictures").glob("*.png"))
    for path in tmp_path.iterdir():
        width, height = struct.unpack(">8x8xII", path.read_bytes()[:24])  # a PNG file's IHDR
        assert (width, height) == (1280, 720)
