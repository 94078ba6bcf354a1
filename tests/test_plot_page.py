"""The page of light curves: it opens without any network, obeys nobody's names, and tells of a point where it comes from.

Where a Chromium is on the PATH the page is opened in it as well.
"""

import json
import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest
from chromium import CHROMIUM, Browser
from light_curves import START, light_curve, limits, series, two_surveys

from harvester.plot.files import save
from harvester.plot.page import page
from harvester.plot.picture import Wishes, picture
from harvester.schema import BAD, GOOD, SUSPECT

HOSTILE = "</script>\u2028<img src=x onerror=alert(1)>&amp;"


class Reader(HTMLParser):
    """Collects elements, and the text of the element with each id."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id")

    def handle_data(self, data):
        if self.inside:
            self.texts[self.inside] = self.texts.get(self.inside, "") + data

    def handle_endtag(self, tag):
        self.inside = None


def told(*pictures):
    return json.loads(Reader(page(pictures)).texts["data"])


def traced():
    """Return two points with all that the store knows of them."""
    table = series("g(ZTF)", [15.0, 15.5], object_id="ZTF18abc", observation_id=["7", "8"], flags="ok", facility="P48", time=58000.0)
    columns = {"source": "alerce", "run": 3, "received": "2026-11-21T00:00:00.000Z", "sha256": "ab12", "url": "https://x/y?z=<b>"}
    for name, value in columns.items():
        table = table.append_column(name, pa.array([value] * 2))
    return table.append_column("revisions", pa.array([0, 2]))


def test_the_page_is_one_file_that_asks_for_nothing():
    text = page([picture(two_surveys(), title="RR Lyr")])
    policy = next(attributes["content"] for tag, attributes in Reader(text).elements if attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy
    loading = [
        (tag, name, value) for tag, attributes in Reader(text).elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert loading == [("link", "href", "data:,")]
    script = text[text.rindex("<script>") :]
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|WebSocket|innerHTML|document\.write|eval\(", script)


def test_the_points_are_those_of_the_light_curve():
    table = pa.concat_tables(
        [
            light_curve(
                filter="g(ZTF)",
                bjd_tdb=[START, START + 1, START + 2],
                mag=[15.0, 15.1, 15.2],
                mag_err=[0.1, None, 0.2],
                quality=[GOOD, SUSPECT, BAD],
            ),
            limits("g(ZTF)", [20.5]),
        ]
    )
    (line,) = told(picture(table))[0]["lines"]
    assert line["t"] == [57999.5, 58000.5, 58001.5, 58002.5]
    assert line["v"] == [15.0, 15.1, 15.2, 20.5]
    assert line["e"] == [0.1, None, 0.2, None]
    assert line["k"] == [0, 2, 6, 1]


def test_a_folded_page_holds_every_point_once_with_period_and_epoch():
    chart = told(picture(series("g(ZTF)", [15.0] * 5), Wishes(fold=0.7, epoch=START)))[0]
    assert len(chart["lines"][0]["t"]) == 5
    assert (chart["phase"]["period"], chart["phase"]["epoch"]) == (0.7, START - 2_400_000.5)


def test_names_are_data_and_never_markup():
    text = page([picture(series("g(ZTF)", [15.0], object_id=HOSTILE), title=HOSTILE)])
    assert [tag for tag, _ in Reader(text).elements].count("img") == 0
    assert [tag for tag, _ in Reader(text).elements].count("script") == 2
    chart = told(picture(series("g(ZTF)", [15.0], object_id=HOSTILE), title=HOSTILE))[0]
    assert chart["title"] == HOSTILE
    assert chart["lines"][0]["columns"]["object"]["words"] == [HOSTILE]


@pytest.mark.parametrize("simulated", [True, False])
def test_a_page_of_simulated_data_says_so_in_title_and_picture(simulated):
    pictures = [picture(two_surveys(), simulated=simulated)]
    assert ("(SIMULATED)" in page(pictures)) == simulated
    assert told(*pictures)[0]["simulated"] == simulated


@pytest.mark.slow
def test_a_browser_shows_the_points_and_says_nothing_on_its_console(tmp_path):
    table = pa.concat_tables([two_surveys(), limits("o(ATLAS)", [19.0])])
    save([picture(table, title=HOSTILE), picture(two_surveys(), Wishes(fold=0.5), title="two")], tmp_path / "x.html")
    assert len(told(picture(table))[0]["lines"]) == 7
    if not CHROMIUM:
        return
    for dark, touch in ((False, False), (True, True)):
        with Browser(390 if touch else 1200, 840, dark=dark, touch=touch) as browser:
            browser.open(tmp_path / "x.html")
            assert browser.run("document.documentElement.dataset.ready") == "2"
            assert browser.run("charts.map(chart => Number(chart.canvas.dataset.drawn))") == [19, 18]
            assert browser.run("document.querySelector('h1').textContent.trim()") == HOSTILE
            assert browser.run("document.documentElement.scrollWidth <= innerWidth")
            assert browser.said == []
            assert all(url.startswith(("file:", "data:")) for url in browser.asked)


def test_pointing_at_a_point_tells_where_it_comes_from(tmp_path):
    save([picture(traced(), Wishes(mark_revised=True), title="x")], tmp_path / "x.html")
    columns = told(picture(traced()))[0]["lines"][0]["columns"]
    assert {"source", "run", "payload", "request", "observation", "revisions"} <= columns.keys()
    assert columns["observation"]["words"] == ["7", "8"]
    if not CHROMIUM:
        return
    with Browser() as browser:
        browser.open(tmp_path / "x.html")
        browser.mouse("Moved", *browser.run(SPOT.format(line=0, index=1)))
        card = browser.run("document.querySelector('.point').innerText")
        for words in ("g(ZTF)", "15.5 ± 0.01 mag AB", "ZTF18abc", "8", "P48", "alerce", "ab12", "https://x/y?z=<b>", "revisions"):
            assert words in card
        browser.mouse("Moved", 5, 5)
        assert browser.run("document.querySelector('.point').hidden")


@pytest.mark.slow
def test_filters_can_be_switched_and_a_box_zooms(tmp_path):
    save([picture(two_surveys(), title="x")], tmp_path / "x.html")
    assert len(told(picture(two_surveys()))[0]["lines"]) == 6
    if not CHROMIUM:
        return
    with Browser() as browser:
        browser.open(tmp_path / "x.html")
        browser.run("document.querySelector('.filters button').click()")
        assert browser.run("charts[0].canvas.dataset.drawn") == "15"
        whole = browser.run("charts[0].view")
        left, top = browser.run("(r => [r.left, r.top])(charts[0].canvas.getBoundingClientRect())")
        browser.drag((left + 300, top + 100), (left + 600, top + 250))
        view = browser.run(PAINTED)
        assert whole[0] < view[0] < view[1] < whole[1]
        assert whole[2] < view[2] < view[3] < whole[3]
        browser.call("Input.dispatchMouseEvent", type="mouseWheel", x=left + 400, y=top + 200, deltaX=0, deltaY=-200)
        closer = browser.run("new Promise(done => setTimeout(() => done(charts[0].view), 200))")
        assert closer[1] - closer[0] < view[1] - view[0]
        browser.run("charts[0].canvas.focus(); charts[0].canvas.dispatchEvent(new KeyboardEvent('keydown', {key: '0'}))")
        assert browser.run(PAINTED) == whole
        assert browser.said == []


PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(charts[0].view))))"
SPOT = "(c => {{const r = c.canvas.getBoundingClientRect(), s = c.spots[{line}]; return [r.left + s.x[{index}], r.top + s.y[{index}]]}})(charts[0])"
