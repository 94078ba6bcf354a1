"""Pictures: what is drawn, what is left out and said to be, and files that appear whole or not at all."""

import datetime as dt
import html
import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as MarkerPath

from harvester.errors import ExportError, UsageError
from harvester.plot import canvas
from harvester.plot.dates import date_ticks, round_ticks
from harvester.plot.figure import FigureOptions, draw_figure, save_figure
from harvester.plot.series import sketch
from harvester.plot.style import styles
from harvester.plot.terminal import draw
from harvester.schema import BAD, GOOD, SCHEMA, SUSPECT

START = 2_458_000.0


def light_curve(**columns):
    """Return rows of the schema; a column that is one value holds in every row, one that is not named is null."""
    columns = {"upper_limit": False, "quality": GOOD} | columns
    size = max(len(value) for value in columns.values() if isinstance(value, list))
    arrays = {
        name: pa.array(value if isinstance(value, list) else [value] * size, SCHEMA.field(name).type) for name, value in columns.items()
    }
    return pa.table({name: arrays.get(name, pa.nulls(size, SCHEMA.field(name).type)) for name in SCHEMA.names}, schema=SCHEMA)


def series(name, mags, *, start=START, step=10.0, **columns):
    times = [start + step * index for index in range(len(mags))]
    return light_curve(filter=name, bjd_tdb=times, mag=mags, mag_err=0.01, **columns)


def limits(name, mags, **columns):
    times = [START + 3 + 10.0 * index for index in range(len(mags))]
    return light_curve(filter=name, bjd_tdb=times, limiting_mag=mags, upper_limit=True, **columns)


def two_surveys():
    names = ["G(GAIA_DR3)", "BP(GAIA_DR3)", "RP(GAIA_DR3)", "g(ZTF_DR)", "r(ZTF_DR)", "i(ZTF_DR)"]
    return pa.concat_tables([series(name, [15.0 + number, 15.2 + number, 15.1 + number]) for number, name in enumerate(names)])


def axes_of(table, **options):
    options = FigureOptions(**options)
    return draw_figure(sketch(table, flux=options.flux, worst_quality=options.worst_quality), options).axes[0]


def points_of(axes):
    """Return the number of points of each line, and its line."""
    return [(len(line.get_xdata()), line) for line in axes.lines if len(line.get_xdata())]


@pytest.fixture
def folder(tmp_path):
    """A folder with nothing in it: the suite puts the user's home into tmp_path."""
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


def footer_of(axes):
    return axes.figure.get_supxlabel()


# What is drawn


def test_series_stand_by_survey_and_then_from_blue_to_red():
    assert [one.filter for one in sketch(two_surveys()).series] == [
        "BP(GAIA_DR3)",
        "G(GAIA_DR3)",
        "RP(GAIA_DR3)",
        "g(ZTF_DR)",
        "r(ZTF_DR)",
        "i(ZTF_DR)",
    ]


def test_a_series_is_in_time_order_whatever_the_table_s():
    table = light_curve(filter="g(ZTF)", bjd_tdb=[START + 2, START, START + 1], mag=[3.0, 1.0, 2.0])
    assert sketch(table).series[0].value.tolist() == [1.0, 2.0, 3.0]


def test_filters_may_come_dictionary_encoded():
    table = two_surveys()
    encoded = table.set_column(0, "filter", table["filter"].dictionary_encode())
    assert [one.filter for one in sketch(encoded).series] == [one.filter for one in sketch(table).series]


def test_points_without_time_or_magnitude_are_left_out_and_counted():
    table = light_curve(filter="g(ZTF)", bjd_tdb=[START, None, START, START], mag=[15.0, 15.0, None, float("nan")])
    drawn = sketch(table)
    assert [one.value.size for one in drawn.series] == [1]
    assert drawn.omitted == 3


def test_points_worse_than_wanted_are_left_out_and_not_counted_as_lost():
    table = series("g(ZTF)", [15.0, 16.0, 17.0], quality=[GOOD, SUSPECT, BAD])
    assert sketch(table, worst_quality=SUSPECT).series[0].value.tolist() == [15.0, 16.0]
    assert sketch(table, worst_quality=GOOD).omitted == 0


def test_a_quality_that_nobody_gave_is_good():
    drawn = sketch(series("g(ZTF)", [15.0, 16.0], quality=[None, SUSPECT]))
    assert drawn.series[0].doubtful.tolist() == [False, True]


def test_a_filter_that_nobody_knows_is_drawn_in_grey():
    drawn = sketch(series("q(NOBODY)", [15.0]))
    assert drawn.series[0].passband is None
    assert styles(drawn.series)[0].colour == "#6B7280"


def test_a_limit_is_drawn_at_its_limiting_magnitude():
    drawn = sketch(pa.concat_tables([series("o(ATLAS)", [18.0]), limits("o(ATLAS)", [19.5, 19.7])]))
    one = drawn.series[0]
    assert one.value[one.limit].tolist() == [19.5, 19.7]
    assert one.tally == "1 + 2 limits"
    assert one.median == 18.0


def test_in_flux_a_limit_without_measurement_lies_at_the_flux_of_its_magnitude():
    one = sketch(limits("o(ATLAS)", [23.9]), flux=True).series[0]
    assert one.value == pytest.approx([1.0], rel=1e-6)
    assert one.limit.all()


def test_in_flux_a_limit_with_a_measurement_is_that_measurement_even_below_zero():
    one = sketch(limits("o(ATLAS)", [19.5], flux=-3.0, flux_err=2.0), flux=True).series[0]
    assert (one.value.tolist(), one.error.tolist(), one.limit.tolist()) == ([-3.0], [2.0], [False])


def test_in_flux_magnitudes_without_zero_point_have_no_place():
    with pytest.raises(ExportError, match="None of 2 points has a time and a flux"):
        sketch(series("I(KMTNet)", [15.0, 16.0]), flux=True)


def test_one_absurd_error_bar_does_not_squeeze_the_picture():
    errors = [0.01] * 20 + [50.0]
    table = light_curve(
        filter="g(ZTF)", bjd_tdb=[START + index for index in range(21)], mag=[15.0 + 0.01 * index for index in range(21)], mag_err=errors
    )
    low, high = sketch(table).range
    assert (low, high) == (pytest.approx(14.99), pytest.approx(15.23))


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (SCHEMA.empty_table(), "No point of this target is stored"),
        (series("g(ZTF)", [15.0], quality=BAD), "All 1 points are of a quality that is left out"),
        (light_curve(filter="g(ZTF)", bjd_tdb=[START], flux=-2.0), "None of 1 points has a time and a magnitude"),
    ],
)
def test_nothing_to_draw_says_why(table, why):
    with pytest.raises(ExportError, match=why) as caught:
        sketch(table, worst_quality=GOOD)
    assert len(caught.value.lines()) == 3


# Styles


def test_every_series_has_a_marker_of_its_own():
    looks = styles(sketch(two_surveys()).series)
    assert len({look.marker for look in looks}) == len(looks) == 6


def test_a_survey_s_custom_comes_first():
    bands = "ugrizy"
    looks = styles(sketch(pa.concat_tables([series(f"{band}(LSST)", [15.0]) for band in bands])).series)
    assert "".join(look.marker for look in looks) == "o^vs*p"
    assert looks[0].colour == "#1600EA"


def test_more_filters_than_markers_still_have_one_each():
    table = pa.concat_tables([series(f"q{number:02d}(NOBODY)", [15.0]) for number in range(40)])
    assert len(styles(sketch(table).series)) == 40


# The picture


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG\r\n"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG\r\n")])
def test_the_suffix_says_the_format(tmp_path, suffix, magic):
    save_figure(two_surveys(), tmp_path / f"picture{suffix}")
    assert (tmp_path / f"picture{suffix}").read_bytes().startswith(magic)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_light_curve_gives_the_same_bytes(tmp_path, monkeypatch, suffix):
    save_figure(two_surveys(), tmp_path / f"a{suffix}", FigureOptions(title="RR Lyr"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    save_figure(two_surveys(), tmp_path / f"b{suffix}", FigureOptions(title="RR Lyr"))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_the_user_s_own_settings_change_nothing(tmp_path):
    save_figure(two_surveys(), tmp_path / "a.svg")
    with mpl.rc_context({"font.size": 30.0, "axes.facecolor": "black", "savefig.dpi": 10}):
        save_figure(two_surveys(), tmp_path / "b.svg")
        assert mpl.rcParams["font.size"] == 30.0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_pyplot_is_never_loaded():
    code = "import sys; import harvester.plot.figure; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_suffix_names_the_known_ones(folder):
    with pytest.raises(UsageError, match=r"Known suffixes: \.png, \.svg, \.pdf") as caught:
        save_figure(two_surveys(), folder / "picture.xlsx")
    assert len(caught.value.lines()) <= 3
    assert list(folder.iterdir()) == []


def test_a_place_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(ExportError, match=r"cannot be written\. No such file"):
        save_figure(two_surveys(), tmp_path / "nowhere" / "picture.png")


def test_a_failed_save_leaves_the_old_picture_and_no_half_one(folder, monkeypatch):
    (folder / "picture.png").write_text("old")

    def full_disc(self, handle, **options):
        handle.write(b"half a pict")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full_disc)
    with pytest.raises(ExportError, match="No space left on device"):
        save_figure(two_surveys(), folder / "picture.png")
    assert [path.name for path in folder.iterdir()] == ["picture.png"]
    assert (folder / "picture.png").read_text() == "old"


def test_nothing_to_draw_makes_no_file(folder):
    with pytest.raises(ExportError):
        save_figure(SCHEMA.empty_table(), folder / "picture.png")
    assert list(folder.iterdir()) == []


def test_a_single_point_is_a_picture(tmp_path):
    save_figure(light_curve(filter="V(ASASSN)", bjd_tdb=[START], mag=[13.2]), tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 5000


def test_magnitudes_run_downwards_and_fluxes_upwards():
    bottom, top = axes_of(two_surveys()).get_ylim()
    assert bottom > top
    bottom, top = axes_of(light_curve(filter="o(ATLAS)", bjd_tdb=[START], flux=[5.0]), flux=True).get_ylim()
    assert bottom < top


def test_every_point_is_drawn_once():
    table = pa.concat_tables([two_surveys(), limits("r(ZTF_DR)", [20.0, 21.0]), series("g(ZTF_DR)", [14.0], quality=BAD)])
    axes = axes_of(table)
    assert sum(size for size, _ in points_of(axes)) == table.num_rows
    assert all(point for line in axes.lines for point in np.isfinite(line.get_ydata()))


def test_limits_are_arrows():
    arrows = [size for size, line in points_of(axes_of(limits("o(ATLAS)", [19.0, 19.5]))) if isinstance(line.get_marker(), MarkerPath)]
    assert arrows == [2]


def test_doubtful_points_are_hollow_and_the_footer_says_so():
    axes = axes_of(series("g(ZTF)", [15.0, 15.1, 15.2], quality=[GOOD, BAD, SUSPECT]))
    assert [(size, line.get_markerfacecolor()) for size, line in points_of(axes)] == [(1, "#28A745"), (2, "none")]
    assert "hollow: doubtful quality" in footer_of(axes)


def test_error_bars_are_those_of_the_points():
    bars = axes_of(series("g(ZTF)", [15.0, 15.5])).collections[0].get_segments()
    assert [segment[:, 1].round(6).tolist() for segment in bars] == [[14.99, 15.01], [15.49, 15.51]]


def test_a_crowd_has_no_error_bars_and_the_footer_says_so():
    crowd = 5001
    axes = axes_of(light_curve(filter="T(TESS)", bjd_tdb=(START + np.arange(crowd) / 100).tolist(), mag=[11.0] * crowd, mag_err=0.01))
    assert not any(len(bars.get_segments()) for bars in axes.collections)
    assert "no error bars for more than 5000 points" in footer_of(axes)


def test_the_footer_counts_what_is_not_drawn():
    assert "2 points without a time or a value in this unit not drawn" in footer_of(
        axes_of(light_curve(filter="g(ZTF)", bjd_tdb=[START] * 3, mag=[15.0, None, None], flux=[1.0, -1.0, -2.0]))
    )


def test_the_legend_counts_and_names_the_system_where_they_differ():
    entries = [text.get_text() for text in axes_of(two_surveys()).get_legend().get_texts()]
    assert entries[0] == "BP(GAIA_DR3)\n3, Vega"
    assert entries[-1] == "i(ZTF_DR)\n3, AB"
    assert axes_of(series("g(ZTF)", [15.0])).get_legend().get_texts()[0].get_text() == "g(ZTF)\n1"


@pytest.mark.parametrize(("start", "offset"), [(2_458_000.0, "2450000"), (2_449_999.0, "2400000"), (2_420_000.0, "2400000")])
def test_the_time_axis_names_its_offset(start, offset):
    axes = axes_of(series("V(AAVSO)", [10.0, 11.0], start=start))
    assert offset in axes.get_xlabel()
    assert points_of(axes)[0][1].get_xdata()[0] == start - float(offset)


def test_the_upper_axis_has_calendar_dates():
    axes = axes_of(series("V(AAVSO)", [10.0] * 100))
    top = axes.child_axes[0].xaxis
    ticks = dict(zip(top.get_major_formatter().seq, top.get_major_locator().locs, strict=True))
    assert list(ticks) == ["2018-01", "2018-07", "2019-01", "2019-07", "2020-01"]
    assert ticks["2018-01"] == 2_458_119.5 - 2_450_000


def test_a_simulated_picture_says_so_and_a_real_one_does_not(tmp_path):
    save_figure(two_surveys(), tmp_path / "simulated.svg", FigureOptions(simulated=True))
    save_figure(two_surveys(), tmp_path / "real.svg")
    assert "SIMULATED" in (tmp_path / "simulated.svg").read_text()
    assert "SIMULATED" not in (tmp_path / "real.svg").read_text()


def test_a_title_is_drawn_as_it_stands(tmp_path):
    title = "V* $x^ \\alpha_1 & b < c 目标"
    save_figure(two_surveys(), tmp_path / "picture.svg", FigureOptions(title=title))
    assert title in html.unescape((tmp_path / "picture.svg").read_text("utf-8"))


def test_many_filters_stay_within_the_picture():
    table = pa.concat_tables([series(f"q{number:02d}(NOBODY)", [15.0 + number / 10]) for number in range(40)])
    options = FigureOptions()
    figure = draw_figure(sketch(table), options)
    figure.canvas.draw()
    legend = figure.axes[0].get_legend().get_window_extent()
    assert legend.y0 >= 0
    assert legend.x1 <= figure.bbox.x1


# The terminal


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
    lines = draw(table, flux=True)
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
        assert all(line.isascii() for line in draw(table, flux=flux, unicode=False))
        assert all(line.isascii() for line in draw(table, flux=flux, unicode=False, colour=True))


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
