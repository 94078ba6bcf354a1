"""The small light curve of a digest: one element that loads nothing, for light pages and dark ones."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
from light_curves import START, light_curve, limits, series, two_surveys

from harvester.errors import ExportError
from harvester.plot.small import small
from harvester.plot.style import NIGHT, WHITE, Style, _contrast, shade
from harvester.schema import SCHEMA

SVG = "{http://www.w3.org/2000/svg}"


def drawn(table, **more):
    return ET.fromstring(small(table, 260, 90, **more))


def spots(root):
    """Return where the spots of each filter stand (x, y), by the filter's name."""
    found = {}
    for group in root.iter(f"{SVG}g"):
        name = group.find(f"{SVG}title").text.split(":")[0]
        path = " ".join(path.get("d") for path in group.findall(f"{SVG}path"))
        found[name] = [(float(x), float(y)) for x, y in re.findall(r"M(\S+) ([\d.]+)", path)]
    return found


def test_it_is_one_element_of_the_size_asked_for_that_names_nothing_outside():
    text = small(two_surveys(), 260, 90)
    root = ET.fromstring(text)
    assert (root.tag, root.get("viewBox")) == (f"{SVG}svg", "0 0 260 90")
    assert not re.search(r"href|url\(|@import|<script", text)


def test_bright_is_up_and_time_runs_to_the_right():
    places = spots(drawn(series("g(ZTF)", [12.0, 13.0, 15.0])))["g(ZTF)"]
    assert places == sorted(places)
    assert places[0][1] < places[1][1] < places[2][1]
    fluxes = spots(drawn(light_curve(filter="g(ZTF)", bjd_tdb=[START, START + 1], flux=[1.0, 100.0]), flux=True))["g(ZTF)"]
    assert fluxes[0][1] > fluxes[1][1]


def test_every_spot_is_within_the_picture():
    table = pa.concat_tables([two_surveys(), limits("o(ATLAS)", [12.0, 25.0])])
    assert all(0 <= x <= 260 and 0 <= y <= 90 for places in spots(drawn(table)).values() for x, y in places)


def test_a_crowd_stays_small_and_keeps_its_ends():
    chance = np.random.default_rng(1)
    parts = [
        light_curve(
            filter=f"q{number}(NOBODY)", bjd_tdb=(START + chance.uniform(0, 3000, 5000)).tolist(), mag=chance.normal(15, 1, 5000).tolist()
        )
        for number in range(8)
    ]
    text = small(pa.concat_tables(parts), 260, 90)
    assert len(text) < 20_000
    xs = [x for places in spots(ET.fromstring(text)).values() for x, _ in places]
    assert max(xs) - min(xs) > 200


def test_dates_and_values_are_written_and_all_is_told_in_words():
    root = drawn(series("g(ZTF)", [12.0, 13.0]))
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert words == ["12.0", "13.0", "2017-09-03", "2017-09-13"]
    assert root.find(f"{SVG}title").text == "Light curve in magnitudes, 2017-09-03 to 2017-09-13: g(ZTF) 2"


def test_what_is_new_stands_on_a_tinted_ground():
    table = series("g(ZTF)", [12.0, 13.0, 12.5])
    assert drawn(table).find(f"{SVG}rect") is None
    (ground,) = drawn(table, new_since=START + 15).iter(f"{SVG}rect")
    left = float(ground.get("x"))
    assert [x > left for x, _ in spots(drawn(table))["g(ZTF)"]] == [False, False, True]
    assert drawn(table, new_since=START + 500).find(f"{SVG}rect") is None


def test_names_of_filters_are_text_and_no_markup():
    root = drawn(series("<img src=x>(ZTF)", [12.0]))
    assert "<img src=x>(ZTF)" in spots(root)


def test_one_point_and_no_point():
    assert len(spots(drawn(series("g(ZTF)", [12.0])))["g(ZTF)"]) == 1
    with pytest.raises(ExportError, match="nothing to draw"):
        small(SCHEMA.empty_table(), 260, 90)


@pytest.mark.parametrize("colour", ["#000000", "#FFFFFF", "#FFFF00", "#00008B", "#8A8AFF", "#28A745"])
def test_every_colour_can_be_seen_on_white_and_on_a_dark_page(colour):
    def rgb(text):
        return tuple(int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))

    style = Style(colour, "o")
    assert _contrast(rgb(style.by_day), WHITE) > 2.95
    assert _contrast(rgb(style.by_night), NIGHT) > 5.9
    assert shade("#28A745", WHITE, 3.0) == "#28A745"
