"""The page in a browser: no errors, no network, sounds that play, filters and keys that work, names that do nothing.

Chromium is asked for by its name, or by the environment variable CHROMIUM; where there is none the tests are skipped.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from fabricated import LABELS, metrics_of
from matplotlib import image
from playwright.sync_api import Page, sync_playwright

from counterpoise.core import audio
from counterpoise.release.folder import About
from counterpoise.report import page as report

CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
]
HOSTILE = "<img src=x onerror=window.hurt=1>"
NAMES = {"bark": "Bark", "howl": 'Howl "</script><script>window.hurt=1</script>', "whine": HOSTILE}
HITS = {"none": [10, 11, 10], "classic": [11, 12, 11], "diffusion": [17, 18, 18]}
CLIPS = 6  # training clips of a class that are shown


def sound(kind: str, place: str, **more: object) -> dict:
    return {"kind": kind, "clip": f"{kind} {HOSTILE}", "place": place, "seconds": 0.3, "verdict": "", **more}


def family(label: str, i: int) -> dict:
    """A training clip, its round trip, a classical variation and three by diffusion."""
    place = f"sounds/{label}/0000"
    heard = {"heard": label, "probability": 0.75, "cosine": 0.9, "nearest": "c1"}
    made = [
        sound("diffusion", place, strength=0.4, verdict="kept", **heard),
        sound("diffusion", place, strength=1.5, verdict="doubtful", reason="near copy", **heard),
        sound("diffusion", place, strength=5.0, verdict="rejected", reason="other class", **heard),
    ]
    real = sound("real", place, heard=label, probability=0.9)
    others = [sound("roundtrip", place, **heard), sound("classic", place, **heard)]
    return {"root": f"{HOSTILE} {i}.wav", "recording": f"r{i}", "sounds": [real, *others, *(made if i else [])]}


def run_of(**changes: object) -> report.Run:
    metrics = metrics_of(HITS)
    part = {"clips": 60, "recordings": 60}
    sets = {"clips": 9, "recognised": 0.5, "root_cosine": None, "kad": 3.2, "c2st": None, "near_copies": 1}
    about = About(
        arm="none", model="cnn", seed=0, dataset="own", labels=NAMES, prior=dict.fromkeys(NAMES, 1 / 3), threshold=0.5
    )
    fields = {
        "dataset": "own",
        "metrics": metrics
        | {
            "data": {"partitions": dict.fromkeys(("train", "val", "test"), part)},
            "generated": {
                "classes": {
                    "whine": {
                        "sets": {"variations": sets, "classic": sets},
                        "near_copies": [],
                        "rejected": {"silent": 2},
                    }
                }
            },
        },
        "names": NAMES,
        "sounds": {label: {"real": 6, "roundtrip": 6, "classic": 6, "diffusion": 15} for label in LABELS},
        "embedding": "own cnn",
        "silence": "",
        "release": (about, "models/release"),
    }
    return report.Run(**{**fields, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A page with three classes, of which two have names that would be HTML."""
    folder = tmp_path_factory.mktemp("page") / "report"
    for label in LABELS:
        (folder / "sounds" / label).mkdir(parents=True)
        wave = 0.2 * np.sin(np.arange(2400, dtype=np.float32) / 5)[None]
        audio.write_flac(folder / f"sounds/{label}/0000.flac", wave, 8000)
        image.imsave(folder / f"sounds/{label}/0000.png", np.zeros((8, 8)))
        (folder / "listen").mkdir(exist_ok=True)
        families = json.dumps([family(label, i) for i in range(CLIPS)])
        (folder / f"listen/{label}.js").write_text(f"listeningRoom.add({json.dumps(label)}, {families});\n")
    report.write(run_of(), folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no chromium to open the page with: install it, or set CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, folder) -> Iterator[Page]:
    """The page, opened from disk; whatever it complains of or asks of a network fails the test."""
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on(
        "request",
        lambda request: None if re.match("(file|data|blob):", request.url) else complaints.append(request.url),
    )
    page.goto((folder / "index.html").as_uri())
    page.wait_for_selector(".sound")
    yield page
    hurt = page.evaluate("window.hurt")
    page.close()
    assert complaints == []
    assert hurt is None


def names(page: Page) -> list[str]:
    return page.locator(".sound .name").all_text_contents()


def is_playing(page: Page) -> bool:
    return page.evaluate("!document.getElementById('audio').paused")


def test_the_answer_stands_first_and_hostile_names_are_text(opened):
    assert opened.locator(".answer").first.text_content() == "Diffusion helps."
    assert opened.locator("#class option").all_text_contents()[2].startswith(HOSTILE)
    assert HOSTILE in opened.locator(".family h3").first.text_content()
    assert opened.locator("main img:not(.play img)").count() == 0


def test_every_chart_is_drawn_and_menus_choose_a_row(opened):
    for chart in opened.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator("svg").wait_for()
    assert opened.locator(".chart svg").count() == 5
    recall = opened.locator("#classes .chart").first
    before = recall.locator("svg").inner_html()
    opened.locator("#classes select").select_option("classic")
    opened.wait_for_function("before => document.querySelector('#classes .chart svg').innerHTML !== before", arg=before)
    assert opened.locator("#confusions select").input_value() == "diffusion"


def test_a_sound_plays_and_stops_at_a_click(opened):
    button = opened.locator(".play").nth(1)
    assert button.get_attribute("aria-label") == "Play: round trip"
    button.click()
    opened.wait_for_function("document.getElementById('audio').currentTime > 0")
    assert opened.locator("#playing").text_content() == f"{HOSTILE}: round trip"
    assert opened.evaluate("document.getElementById('audio').error") is None
    opened.evaluate("document.getElementById('audio').loop = true")
    opened.locator(".play").nth(2).click()
    opened.wait_for_selector(".sound.playing")
    assert opened.locator(".sound.playing .name").all_text_contents() == ["classic"]
    opened.locator(".play").nth(2).click()
    opened.wait_for_selector(".sound.playing", state="detached")
    assert not is_playing(opened)


def test_filters_show_what_they_say_beside_the_training_clip(opened):
    assert opened.locator("#count").text_content() == "33 sounds of 6 training clips"
    opened.locator("#verdict").select_option("rejected")
    assert names(opened)[:2] == ["training clip", "variation, strength 5.0"]
    assert opened.locator("#count").text_content() == "10 sounds of 5 training clips"
    assert opened.locator(".verdict").first.text_content() == "✗ rejected: other class"
    opened.locator("#verdict").select_option("")
    opened.locator("#strength").select_option("1-2")
    assert set(names(opened)) == {"training clip", "variation, strength 1.5"}
    assert set(opened.locator(".verdict").all_text_contents()) == {"? kept, doubtful: near copy"}
    opened.locator("#strength").select_option("")
    opened.locator("[name=kind][value=diffusion]").uncheck()
    opened.locator("[name=kind][value=roundtrip]").uncheck()
    assert set(names(opened)) == {"training clip", "classic"}
    opened.locator("#strength").select_option("4-")
    assert opened.locator("#count").text_content() == "No sound fits. Choose another strength or verdict."


def test_another_class_is_loaded_when_it_is_chosen(opened):
    assert opened.evaluate("document.querySelectorAll('script[src^=listen]').length") == 1
    opened.locator("#class").select_option("bark")
    opened.wait_for_selector("img[src='sounds/bark/0000.png']")
    assert opened.locator("img[src='sounds/whine/0000.png']").count() == 0
    assert "heard as Bark, 75 %" in opened.locator(".sound").nth(1).text_content()


def test_keys_play_the_next_and_the_previous_and_stop(opened):
    opened.evaluate("document.getElementById('audio').loop = true")
    opened.keyboard.press("n")
    opened.keyboard.press("n")
    assert opened.locator(".sound.current .name").text_content() == "round trip"
    assert is_playing(opened)
    opened.keyboard.press("p")
    assert opened.locator(".sound.current .name").text_content() == "training clip"
    opened.keyboard.press("Space")
    assert not is_playing(opened)
    opened.keyboard.press("Space")
    assert is_playing(opened)
    opened.keyboard.press("Escape")
    assert not is_playing(opened)
    chosen = opened.locator("#class").input_value()
    opened.keyboard.press("c")
    opened.wait_for_function("chosen => document.getElementById('class').value !== chosen", arg=chosen)


def test_the_next_after_the_last_is_on_the_next_page(opened):
    last = opened.locator(".sound").count()
    for _ in range(last + 1):
        opened.keyboard.press("n")
    assert opened.locator("#where").text_content() == "5 to 6 of 6"
    assert opened.locator(".sound.current .name").text_content() == "training clip"
    opened.keyboard.press("p")
    assert opened.locator("#where").text_content() == "1 to 4 of 6"
    opened.locator("#on").click()
    assert opened.locator("#on").is_disabled()


def test_keys_can_be_turned_off(opened):
    opened.locator("#shortcuts").uncheck()
    opened.locator("h2").first.click()
    opened.keyboard.press("n")
    assert opened.locator(".sound.current").count() == 0


def test_light_and_dark_have_contrast_and_charts_follow(opened):
    def ink() -> tuple[str, str]:
        return tuple(
            opened.evaluate("(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))")
        )

    opened.wait_for_selector(".chart svg")
    label = "document.querySelector('.chart svg text').getAttribute('fill')"
    light, of_chart = ink(), opened.evaluate(label)
    opened.locator("#theme").click()
    opened.wait_for_function(f"light => {label} !== light", arg=of_chart)
    dark = ink()
    for pair in (light, dark):
        assert contrast(*pair) > 7
    assert luminance(light[1]) > luminance(dark[1])


def luminance(colour: str) -> float:
    """Relative, of `rgb(r, g, b)`: WCAG 2.2."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(opened, width):
    opened.set_viewport_size({"width": width, "height": 844})
    opened.wait_for_timeout(100)
    assert opened.evaluate("document.documentElement.scrollWidth") == width


def test_every_control_has_a_name(opened):
    nameless = opened.evaluate(
        """() => [...document.querySelectorAll("button, select, input")]
            .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []


def test_without_variations_or_filter_the_page_says_so(tmp_path):
    metrics = dict(run_of().metrics)
    metrics["generated"] = {"classes": {}}
    sounds = {label: {"real": 2, "roundtrip": 2} for label in LABELS}
    report.write(
        run_of(metrics=metrics, sounds=sounds, embedding=None, silence="no arm adds any", release=None), tmp_path
    )
    text = (tmp_path / "index.html").read_text()
    assert "no arm adds any" in text
    assert "There was no class filter" in text
    assert "Take it home" not in text
    assert 'value="diffusion" checked' not in text


def test_the_same_run_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        report.write(run_of(), tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["index.html", "page.css", "page.js", "vega.js"]
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)
