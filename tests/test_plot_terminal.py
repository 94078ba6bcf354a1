"""The light curve in a terminal: lines that fit, marks that can be told apart with and without colour."""

import datetime as dt
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from light_curves import START, light_curve, limits, series, two_surveys

from harvester.errors import ExportError
from harvester.plot import canvas, terminal
from harvester.plot.dates import date_ticks, round_ticks
from harvester.plot.picture import Wishes, picture
from harvester.schema import SCHEMA


def draw(table, *, title="", simulated=False, wishes=None, **window):
    return terminal.draw(picture(table, wishes or Wishes(), title=title, simulated=simulated), **window)


def test_lines_fit_the_window():
    lines = draw(two_surveys(), width=80, height=24)
    assert len(lines) == 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("width", "height"), [(0, 0), (20, 5), (40, 10), (200, 60)])
def test_any_window_gives_a_drawing(width, height):
    lines = draw(two_surveys(), width=width, height=height, title="a rather long name of a target that has to be cut somewhere")
    assert max(map(len, lines)) <= max(width, 40)
    assert any("●" in line for line in lines[1:-6])


def rows_with(lines, glyph, legend=1):
    return [number for number, line in enumerate(lines[1:-legend]) if glyph in line]


def test_bright_is_up():
    bright, faint = series("g(ZTF)", [12.0]), series("r(ZTF)", [15.0])
    lines = draw(pa.concat_tables([bright, faint]))
    assert max(rows_with(lines, "●", 2)) < min(rows_with(lines, "▲", 2))


def test_more_flux_is_up():
    table = light_curve(filter=["g(ZTF)", "r(ZTF)"], bjd_tdb=[START, START], flux=[100.0, 1.0])
    lines = draw(table, wishes=Wishes(flux=True))
    assert lines[0].startswith("flux (µJy)")
    assert max(rows_with(lines, "●", 2)) < min(rows_with(lines, "▲", 2))


def test_time_runs_to_the_right():
    table = pa.concat_tables([series("g(ZTF)", [15.0]), series("r(ZTF)", [15.0], start=START + 50)])
    line = next(line for line in draw(table) if "●" in line and "▲" in line)
    assert line.index("●") < line.index("▲")


def test_filters_are_told_apart_without_colour():
    lines = draw(two_surveys())
    assert len({line[0] for line in lines[-6:]}) == 6
    assert "\x1b" not in "".join(lines)


def test_every_row_of_the_legend_has_count_and_median():
    lines = draw(series("G(GAIA_DR3)", [15.0, 15.2, 15.1]))
    assert lines[-1] == "● G(GAIA_DR3)  3  median 15.100 Vega"


@pytest.mark.parametrize(
    ("mags", "labels"),
    [
        ([11.0, 11.02], ["10.99", "11.00", "11.01", "11.02", "11.03"]),
        ([12.0, 15.0], ["12", "13", "14", "15"]),
        ([7.2, 8.4], ["7.25", "7.50", "7.75", "8.00", "8.25"]),
    ],
)
def test_the_value_axis_has_as_many_digits_as_it_needs(mags, labels):
    axis = [line.split()[0] for line in draw(series("T(TESS)", mags)) if "┤" in line]
    assert axis == labels


def test_ascii_is_ascii():
    table = pa.concat_tables([two_surveys(), limits("o(ATLAS)", [16.0])])
    for flux in (False, True):
        if flux:
            table = light_curve(filter="g(ZTF)", bjd_tdb=[START, START + 1], flux=[100.0, 1.0])
        assert all(line.isascii() for line in draw(table, wishes=Wishes(flux=flux), unicode=False))
        assert all(line.isascii() for line in draw(table, wishes=Wishes(flux=flux), unicode=False, colour=True))


def visible(line):
    return re.sub(r"\x1b\[\d+m", "", line)


def test_colour_adds_braille_dots_and_no_width():
    lines = draw(two_surveys(), colour=True)
    assert "\x1b[32m" in "".join(lines)
    assert max(len(visible(line)) for line in lines) <= 80
    dots = [character for line in lines[:-6] for character in visible(line) if 0x2800 < ord(character) <= 0x28FF]
    assert sum(ord(character).bit_count() - 0x2800.bit_count() for character in dots) == 18


def test_every_colour_is_switched_off_again():
    for line in draw(two_surveys(), colour=True):
        assert len(re.findall(r"\x1b\[(?:3[1-6]|9[1-6])m", line)) == line.count("\x1b[39m")


def test_more_filters_than_colours_have_shapes():
    table = pa.concat_tables([series(f"g({survey})", [15.0 + number]) for number, survey in enumerate(["ZTF", "ZTF_DR", "PS1", "ATLAS"])])
    lines = draw(table, colour=True)
    assert len({visible(line)[0] for line in lines[-4:]}) == 4
    assert not any(0x2800 <= ord(character) <= 0x28FF for line in lines for character in line)


def test_limits_are_arrows_below_detections():
    lines = draw(pa.concat_tables([series("o(ATLAS)", [18.0]), limits("o(ATLAS)", [19.5, 19.7])]))
    assert sum(line.count("↓") for line in lines[1:-2]) == 2
    assert lines[-1] == "↓ upper limit"
    same = light_curve(filter="o(ATLAS)", bjd_tdb=[START] * 2, mag=[18.0, None], limiting_mag=[None, 18.0], upper_limit=[False, True])
    assert not any("↓" in line for line in draw(same)[:-1])


def test_what_is_not_drawn_is_counted():
    lines = draw(light_curve(filter="g(ZTF)", bjd_tdb=[START] * 3, mag=[15.0, None, None]))
    assert lines[-1] == "2 without a magnitude or time not drawn"


def test_a_simulated_drawing_says_so_however_long_the_name():
    assert draw(two_surveys(), title="RR Lyr " * 40, simulated=True)[0].endswith("SIMULATED")
    assert "SIMULATED" not in "".join(draw(two_surveys(), title="RR Lyr"))


def test_an_empty_light_curve_is_an_error_in_the_terminal_too():
    with pytest.raises(ExportError, match="nothing to draw"):
        draw(SCHEMA.empty_table())


def test_dates_stand_under_their_ticks_and_clear_of_each_other():
    lines = draw(series("V(AAVSO)", [10.0] * 100), width=80)
    axis, labels = lines[-3], lines[-2]
    assert re.findall(r"\S+", labels) == re.findall(r"20\d\d(?:-\d\d)?", labels)
    assert axis.count("┬") == len(labels.split()) >= 2


def test_the_filter_with_most_points_owns_a_cell():
    grid = canvas.owners([np.array([0, 1]), np.array([0, 0])], [np.array([0, 0]), np.array([0, 0])], (1, 3))
    assert grid.tolist() == [[1, 0, canvas.EMPTY]]


def test_braille_dots_are_where_the_standard_has_them():
    columns, rows = np.array([0, 1, 0, 1]), np.array([0, 0, 3, 3])
    assert canvas.braille([columns], [rows], (1, 1)).tolist() == [["⣉"]]


# Ticks


@settings(deadline=None)
@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6), most=st.integers(2, 12))
def test_round_ticks_are_few_and_within(low, span, most):
    ticks = round_ticks(low, low + span, most)
    assert len(ticks) <= most
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)


@settings(deadline=None)
@given(low=st.floats(-100, 100), span=st.floats(1e-2, 1e3), most=st.integers(4, 12))
def test_there_are_always_two_round_ticks(low, span, most):
    assert len(round_ticks(low, low + span, most)) >= 2


@settings(deadline=None)
@given(first=st.floats(2_396_759, 2_480_000), span=st.floats(0.5, 60_000), most=st.integers(1, 10))
def test_a_date_label_is_the_date_of_its_tick(first, span, most):
    ticks = date_ticks(first, first + span, most)
    assert len(ticks) <= most
    for jd, label in ticks:
        assert first <= jd <= first + span
        date = dt.datetime(2000, 1, 1, 12, tzinfo=dt.UTC) + dt.timedelta(days=jd - 2_451_545)
        assert f"{date:%Y-%m-%d %H:%M:%S}" == label + "0000-01-01 00:00:00"[len(label) :]


def test_hours_are_dates_too():
    assert date_ticks(2_458_000.5, 2_458_001.0, 3) == [
        (2_458_000.5, "2017-09-04 00:00"),
        (2_458_000.75, "2017-09-04 06:00"),
        (2_458_001.0, "2017-09-04 12:00"),
    ]


def test_a_folded_drawing_has_phases_for_dates():
    lines = draw(series("g(ZTF)", [15.0] * 30, step=0.1), wishes=Wishes(fold=0.7, epoch=START), title="x")
    assert lines[0].endswith("period 0.7 d")
    assert lines[-2].split() == ["0", "0.25", "0.5", "0.75", "1", "1.25", "1.5", "1.75", "2"]


def test_a_broken_axis_shows_where_it_is_broken():
    table = pa.concat_tables([series("g(ZTF)", [15.0] * 9), series("r(ZTF)", [15.0] * 9, start=START + 1000)])
    axis = draw(table, wishes=Wishes(compress_gaps=True))[-4]
    assert axis.count("╱") == 1
    assert draw(table, wishes=Wishes(compress_gaps=True), unicode=False)[-4].count("/") == 1
    assert "╱" not in draw(table)[-4]


def test_many_filters_stand_in_two_columns_where_they_fit():
    table = pa.concat_tables([series(f"q{number}(S)", [15.0 + number]) for number in range(9)])
    wide, narrow = draw(table, width=80, height=40), draw(table, width=50, height=40)
    assert sum("median" in line for line in wide) == 5
    assert sum(line.count("median") for line in wide) == 9
    assert sum("median" in line for line in narrow) == 9
    assert max(map(len, wide)) <= 80


def test_the_legend_tells_the_offset_and_the_true_median():
    table = pa.concat_tables([series(f"{band}(LSST)", [15.0, 15.2, 15.4]) for band in "gr"])
    lines = draw(table, wishes=Wishes(offset_filters=True))
    assert lines[0].startswith("magnitude + offset")
    assert sum("+ " in line and "median 15.200" in line for line in lines[-2:]) == 1
    assert all("median 15.200" in line for line in lines[-2:])
