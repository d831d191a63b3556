"""The page of the listening test in a headless Chromium: a whole session, and what the player really plays.

These tests run where there is a Chromium (chromium, chromium-browser or google-chrome on the PATH, or its path in
CHROMIUM) and the package playwright, which drives it: apt-get install chromium, pip install playwright. They are
skipped elsewhere, but not where .ci/run runs.
"""

import threading

import numpy as np
import pytest

from minicodec.evaluation.listening import ratings
from minicodec.evaluation.listening.server import Server
from minicodec.evaluation.listening.session import ListeningTest
from minicodec.evaluation.listening.stimuli import find_clips
from tests.conftest import CHROMIUM
from tests.listening_folder import CONDITIONS, make_folder

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("listening"), ("bells", "drums", "sea", "speech"), seconds=2)


@pytest.fixture
def server(folder, tmp_path):
    with Server(ListeningTest(find_clips(folder), 3, tmp_path / "r.csv"), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    """The instructions; at the end the browser must have had nothing to complain of, nor heard a name."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints, addresses = [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(server.url)
    yield page
    context.close()
    assert complaints == []
    assert all(address.startswith(server.url) for address in addresses)
    assert not [name for name in (*CONDITIONS[1:], "bells", "drums", "speech") if name in "".join(addresses)]


def begin(page, name="Ann"):
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Start with practice").click()
    wait_for(page, "Practice")


def wait_for(page, title):
    page.get_by_role("heading", name=title, exact=True).wait_for()
    page.locator("#reference:enabled").wait_for()


def turn(page, button, title):
    page.get_by_role("button", name=button, exact=True).click()
    wait_for(page, title)


def shown(page):
    return page.locator("#conditions output").all_inner_texts()


def test_three_screens_with_a_reload_in_the_middle(page, server):
    """By keyboard alone on the first screen, by pointer on the second, over a reload; then the file is right."""
    begin(page, "=Ann")
    page.keyboard.press("1")
    page.keyboard.press("ArrowLeft")  # practice: not to be saved
    turn(page, "Begin the test", "Clip 1 of 3")
    assert shown(page) == ["–"] * 6
    for number in range(1, 7):
        page.keyboard.press(str(number))
        assert page.get_by_role("button", name=f"Version {number}", exact=True).get_attribute("aria-pressed") == "true"
        page.keyboard.press("End")
        for _ in range(number):
            page.keyboard.press("ArrowLeft")
    assert shown(page) == ["99", "98", "97", "96", "95", "94"]
    turn(page, "Next", "Clip 2 of 3")

    slider = page.get_by_label("Rating of version 2", exact=True)
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + 1)  # touching it is hearing it
    assert page.get_by_role("button", name="Version 2", exact=True).get_attribute("aria-pressed") == "true"
    page.keyboard.press("PageUp")
    assert slider.get_attribute("aria-valuetext") == "60, Good"
    page.keyboard.press("5")
    page.keyboard.press("Home")
    assert page.get_by_role("button", name="Next").is_disabled()
    page.get_by_text("Not yet rated: 1, 3, 4, 6").wait_for()
    page.reload()
    wait_for(page, "Clip 2 of 3")
    assert shown(page) == ["–", "60", "–", "–", "0", "–"]
    for number in (1, 3, 4, 6):
        page.keyboard.press(str(number))
        page.keyboard.press("ArrowRight")
    assert shown(page) == ["51", "60", "51", "51", "0", "51"]
    turn(page, "Next", "Clip 3 of 3")

    turn(page, "Back", "Clip 2 of 3")
    page.keyboard.press("6")
    page.keyboard.press("ArrowRight")
    turn(page, "Next", "Clip 3 of 3")
    for number in range(1, 7):
        page.keyboard.press(str(number))
        page.keyboard.press("PageDown")
    page.get_by_role("button", name="Finish").click()
    page.get_by_role("heading", name="Thank you").wait_for()
    page.reload()
    page.get_by_role("heading", name="Thank you").wait_for()

    found = ratings.read(server.test.path)
    (token,) = {r.session for r in found}
    final = {(r.clip, r.condition): r.score for r in found if r.state == "final"}
    screens = server.test._sessions[token].screens
    expected = ([99, 98, 97, 96, 95, 94], [51, 60, 51, 51, 0, 52], [40] * 6)
    assert final == {
        (screen.clip.name, condition): score
        for screen, scores in zip(screens[1:], expected, strict=True)
        for condition, score in zip(screen.order, scores, strict=True)
    }
    assert {r.listener for r in found} == {"=Ann"}
    assert server.test.path.read_text().count(",'=Ann,") == len(found)


def test_a_closed_tab_loses_nothing(page, server):
    begin(page)
    turn(page, "Begin the test", "Clip 1 of 3")
    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    # A slider that is still held has not been saved; leaving the page saves it.
    box = page.get_by_label("Rating of version 4", exact=True).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2, steps=4)
    assert shown(page)[3] == "100"
    page.goto("about:blank")
    page.goto(server.url)
    wait_for(page, "Clip 1 of 3")
    assert shown(page) == ["–", "–", "51", "100", "–", "–"]


def test_a_server_that_was_away_gets_the_ratings_when_it_is_back(browser, server):
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    begin(page)
    turn(page, "Begin the test", "Clip 1 of 3")
    page.route("**/sessions/*", lambda route: route.abort())
    page.keyboard.press("1")
    page.keyboard.press("ArrowRight")
    page.get_by_role("alert").filter(has_text="not saved yet").wait_for()
    assert not server.test.path.exists()
    page.unroute("**/sessions/*")
    page.get_by_role("alert").wait_for(state="hidden")
    assert [r.score for r in ratings.read(server.test.path)] == [51]
    context.close()


def test_a_server_that_knows_the_session_no_more_says_so(browser, server):
    """It was started anew before the first rating was in the file: there is nothing that could go on."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    begin(page)
    turn(page, "Begin the test", "Clip 1 of 3")
    server.test._sessions.clear()
    page.keyboard.press("1")
    page.keyboard.press("ArrowRight")
    page.get_by_role("alert").filter(has_text="no such session or sound. Reload the page").wait_for()
    page.reload()
    page.get_by_role("button", name="Start with practice").wait_for()
    context.close()


# -> where the part begins, in percent. On a busy machine, a key that is pressed from out here comes at any time.
BRACKET_IN_THE_MIDDLE = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const left = (id) => parseFloat(document.getElementById(id).style.left);
  while (!(left("needle") > 25 && left("needle") < 65)) await frame();
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "[", bubbles: true }));
  await frame();
  await frame();
  return left("part");
}"""


def test_keys_play_pause_and_repeat_a_part(page):
    begin(page)
    play = page.locator("#play")
    page.keyboard.press("Space")
    playwright.expect(play).to_have_attribute("aria-label", "Pause")
    page.keyboard.press("4")
    start = page.evaluate(BRACKET_IN_THE_MIDDLE)
    assert 20 < start < 74  # percent of 2 s; a part is at least half a second long
    page.keyboard.press("\\")
    page.wait_for_timeout(50)
    assert page.evaluate("parseFloat(document.getElementById('part').style.left)") == 0
    page.keyboard.press("Space")
    playwright.expect(play).to_have_attribute("aria-label", "Play")
    page.keyboard.press("0")
    playwright.expect(page.locator("#reference")).to_have_attribute("aria-pressed", "true")


def test_every_control_has_a_name_and_no_page_scrolls_sideways(page):
    def check():
        for control in page.locator("button:visible, input:visible").all():
            assert control.evaluate("c => c.ariaLabel || c.labels?.[0]?.textContent.trim() || c.textContent.trim()")
            assert control.bounding_box()["height"] >= 40  # enough for a thumb
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        page.wait_for_timeout(50)
        check()
    begin(page)
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        page.wait_for_timeout(50)
        check()


PLAY = """async () => {
  const { Player } = await import("/player.js");
  const rate = 48000;
  const context = new OfflineAudioContext(1, 1.5 * rate, rate);
  const tone = (level) => {
    const buffer = context.createBuffer(1, rate / 2, rate);
    const samples = buffer.getChannelData(0);
    for (let i = 0; i < samples.length; i++) samples[i] = level * Math.sin(2 * Math.PI * 200.5 * i / rate);
    return buffer;
  };
  const player = new Player(context);
  player.load([tone(0.5), tone(0.5), tone(0.25)]);
  const at = (time, action) => context.suspend(time).then(() => { action(); context.resume(); });
  player.play();
  at(0.256, () => player.choose(1));     // the same sound
  at(0.384, () => player.choose(2));     // half as loud
  at(1.024, () => player.choose(0));
  at(1.28, () => player.pause());
  const out = await context.startRendering();
  return Array.from(out.getChannelData(0));
}"""


def test_switching_leaves_no_gap_and_the_loop_no_click(page):
    """Rendered offline: three versions of half a second of a tone, which ends at its peak, chosen one after the other.

    It begins after 20 ms (960 samples), fades over 5 ms (240 samples) at the beginning, at the switches, at the pause,
    and on both sides of the loop's seam every 24,000 samples; apart from that every sample is known.
    """
    out = np.array(page.evaluate(PLAY))
    rate, began, fade = 48_000, 960, 240
    n = np.arange(len(out))
    inside = (n - began) % 24_000
    tone = np.sin(2 * np.pi * 200.5 * inside / rate)
    level = np.where(n < 0.384 * rate, 0.5, np.where(n < 1.024 * rate, 0.25, 0.5)) * (n >= began) * (n < 1.28 * rate)
    known = np.ones(len(out), bool)
    for time in (0.02, 0.384, 1.024, 1.28):
        known[(n >= time * rate - 1) & (n < time * rate + fade + 1)] = False
    known[(inside < fade) | (inside >= 24_000 - fade)] = False
    known[:began] = True
    assert known.mean() > 0.95
    np.testing.assert_allclose(out[known], (level * tone)[known], rtol=0, atol=1e-5)  # so also where 0 becomes 1
    steepest = 0.5 * (2 * np.pi * 200 / rate + 1 / fade + np.pi / 2 / fade)  # the tone, two fades
    assert np.abs(np.diff(out)).max() < steepest
    assert np.abs(out[int(0.385 * rate) :][:48]).max() > 0.25  # at the switch both are heard
