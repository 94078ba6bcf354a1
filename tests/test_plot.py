"""Pictures: what is drawn, what is left out and said to be, and files that appear whole or not at all."""

import doctest
import html
import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest
from light_curves import START, light_curve, limits, series, two_surveys
from matplotlib.path import Path as MarkerPath
from PIL import Image

from harvester.errors import ExportError, UsageError
from harvester.plot import dates, period, style
from harvester.plot import series as series_module
from harvester.plot.figure import SIZES, draw, quiet_settings
from harvester.plot.files import MOST_IN_GRID, save
from harvester.plot.picture import Wishes, picture
from harvester.plot.series import REVISIONS, sketch
from harvester.plot.style import styles
from harvester.schema import BAD, GOOD, SCHEMA, SUSPECT


def axes_of(table, size="page", **wishes):
    return draw([picture(table, Wishes(**wishes))], SIZES[size]).axes[0]


def save_figure(table, path, **about):
    save([picture(table, **about)], path)


def points_of(axes):
    """Return the number of points of each line, and its line."""
    return [(len(line.get_xdata()), line) for line in axes.lines if line.get_gid() not in ("errors", "cut")]


def bars_of(axes):
    """Return the ends of the error bars: an array of two columns."""
    return [np.reshape(line.get_ydata(), (-1, 3))[:, :2] for line in axes.lines if line.get_gid() == "errors"]


@pytest.fixture
def folder(tmp_path):
    """A folder with nothing in it: the suite puts the user's home into tmp_path."""
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


def footer_of(axes):
    return axes.figure.get_supxlabel()


@pytest.mark.parametrize("module", [dates, period, series_module, style], ids=lambda module: module.__name__)
def test_the_examples_of_docstrings_are_true(module):
    failed, attempted = doctest.testmod(module)
    assert (failed, attempted > 0) == (0, True)


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
    save_figure(two_surveys(), tmp_path / f"a{suffix}", title="RR Lyr")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    save_figure(two_surveys(), tmp_path / f"b{suffix}", title="RR Lyr")
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
    with pytest.raises(UsageError, match=r"Known suffixes: \.png, \.svg, \.pdf, \.html") as caught:
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
    table = pa.concat_tables([two_surveys(), limits("r(ZTF_DR)", [20.0, 21.0]), series("g(ZTF_DR)", [14.0], quality=SUSPECT)])
    axes = axes_of(table)
    assert sum(size for size, _ in points_of(axes)) == table.num_rows
    assert all(point for _, line in points_of(axes) for point in np.isfinite(line.get_ydata()))


def test_limits_are_arrows():
    arrows = [size for size, line in points_of(axes_of(limits("o(ATLAS)", [19.0, 19.5]))) if isinstance(line.get_marker(), MarkerPath)]
    assert arrows == [2]


def test_suspect_points_are_hollow_and_bad_ones_crossed_out_and_the_footer_says_so():
    axes = axes_of(series("g(ZTF)", [15.0, 15.1, 15.2], quality=[GOOD, BAD, SUSPECT]))
    drawn = {(float(line.get_ydata()[0]), line.get_marker()): line.get_markerfacecolor() for _, line in points_of(axes)}
    assert drawn == {(15.0, "o"): "#28A745", (15.1, "o"): "none", (15.1, "x"): "none", (15.2, "o"): "none"}
    assert "hollow: doubtful quality" in footer_of(axes)
    assert "crossed out: bad quality" in footer_of(axes)


def test_revised_points_are_ringed_when_asked():
    table = series("g(ZTF)", [15.0, 15.1, 15.2]).append_column(REVISIONS, pa.array([0, 2, 0]))
    unasked, asked = axes_of(table), axes_of(table, mark_revised=True)
    assert len(points_of(unasked)) == 1
    (ring,) = [line for _, line in points_of(asked) if line.get_markersize() > 7]
    assert (ring.get_ydata().tolist(), ring.get_markerfacecolor()) == ([15.1], "none")
    assert "ringed: revised by the survey" in footer_of(asked)
    assert "ringed" not in footer_of(unasked)


def test_error_bars_are_those_of_the_points():
    (bars,) = bars_of(axes_of(series("g(ZTF)", [15.0, 15.5])))
    assert bars.round(6).tolist() == [[14.99, 15.01], [15.49, 15.51]]


def test_a_crowd_is_an_image_with_all_its_error_bars_and_the_footer_says_so():
    crowd = 2001
    axes = axes_of(light_curve(filter="T(TESS)", bjd_tdb=(START + np.arange(crowd) / 100).tolist(), mag=[11.0] * crowd, mag_err=0.01))
    (bars,) = bars_of(axes)
    assert len(bars) == crowd
    assert all(line.get_rasterized() for line in axes.lines)
    assert "filters with more than 2000 points are an image" in footer_of(axes)


def test_a_bad_point_or_a_far_limit_does_not_squeeze_the_picture_and_stands_on_its_rim():
    table = pa.concat_tables([series("g(ZTF)", [15.0, 15.5, -6.0], quality=[GOOD, GOOD, BAD]), limits("g(ZTF)", [16.0, 21.0])])
    axes = axes_of(table)
    low, high = sorted(axes.get_ylim())
    assert low > 12.0
    assert high < 18.0
    assert all(low < value < high for _, line in points_of(axes) for value in line.get_ydata())
    assert "on the rim: what lies beyond it (2)" in footer_of(axes)


def test_no_detection_is_ever_beyond_the_picture():
    table = series("g(ZTF)", [*[15.0] * 200, 9.0, 21.0], quality=[*[GOOD] * 200, GOOD, SUSPECT])
    low, high = sorted(axes_of(table).get_ylim())
    assert low < 9.0
    assert high > 21.0
    assert picture(table).beyond == 0


def test_the_footer_counts_what_is_not_drawn():
    assert "2 points without a time or a value as a magnitude not drawn" in footer_of(
        axes_of(light_curve(filter="g(ZTF)", bjd_tdb=[START] * 3, mag=[15.0, None, None], flux=[1.0, -1.0, -2.0]))
    )


def test_the_legend_counts_and_names_the_system_where_they_differ():
    entries = [text.get_text() for text in axes_of(two_surveys()).get_legend().get_texts()]
    assert entries[0] == "BP(GAIA_DR3)\n3, Vega"
    assert entries[-1] == "i(ZTF_DR)\n3, AB"
    assert axes_of(series("g(ZTF)", [15.0])).get_legend().get_texts()[0].get_text() == "g(ZTF)\n1"


@pytest.mark.parametrize("start", [2_458_000.5, 2_420_000.25])
def test_the_lower_axis_counts_in_mjd_and_says_where_its_clock_stands(start):
    axes = axes_of(series("V(AAVSO)", [10.0, 11.0, 12.0], start=start))
    assert axes.get_xlabel() == "MJD (barycentric, TDB)"
    ticks = zip(axes.xaxis.get_major_locator().locs, axes.xaxis.get_major_formatter().seq, strict=True)
    places = {float(label): place for place, label in ticks}
    assert len(places) >= 2
    assert all(place == pytest.approx(mjd + 2_400_000.5, abs=1e-6) for mjd, place in places.items())


def test_the_upper_axis_has_calendar_dates():
    axes = axes_of(series("V(AAVSO)", [10.0] * 100))
    top = axes.child_axes[0].xaxis
    ticks = dict(zip(top.get_major_formatter().seq, top.get_major_locator().locs, strict=True))
    assert list(ticks) == ["2018-01", "2018-07", "2019-01", "2019-07", "2020-01"]
    assert ticks["2018-01"] == 2_458_119.5


def test_a_simulated_picture_says_so_and_a_real_one_does_not(tmp_path):
    save_figure(two_surveys(), tmp_path / "simulated.svg", simulated=True)
    save_figure(two_surveys(), tmp_path / "real.svg")
    assert "SIMULATED" in (tmp_path / "simulated.svg").read_text()
    assert "SIMULATED" not in (tmp_path / "real.svg").read_text()


def test_a_title_is_drawn_as_it_stands(tmp_path):
    title = "V* $x^ \\alpha_1 & b < c 目标"
    save_figure(two_surveys(), tmp_path / "picture.svg", title=title)
    assert title in html.unescape((tmp_path / "picture.svg").read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 6, 40])
def test_no_words_lie_upon_others_or_outside(size, count):
    table = pa.concat_tables([series(f"q{number:02d}(NOBODY)", [15.0 + number / 10]) for number in range(count)])
    with quiet_settings():
        figure = draw([picture(table, title="A target of some name that is long, and longer than most", simulated=True)], SIZES[size])
        figure.canvas.draw()
        axes = figure.axes[0]
        words = [axes.get_legend(), figure._suptitle, figure._supxlabel, axes.xaxis.label, axes.yaxis.label, axes._right_title]
        boxes = [one.get_window_extent() for one in dict.fromkeys(words)]
    assert all(
        figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 - 1 <= box.y0 <= box.y1 <= figure.bbox.y1 for box in boxes
    )
    assert not [(a, b) for number, a in enumerate(boxes) for b in boxes[:number] if a.overlaps(b)]
    assert not [box for box in boxes if box.overlaps(axes.bbox)]


def test_letters_are_legible_at_the_width_of_a_column():
    with quiet_settings():
        figure = draw([picture(two_surveys(), title="RR Lyr")], SIZES["column"])
        figure.canvas.draw()
        axes = figure.axes[0]
        sizes = [text.get_size() for text in [*axes.get_xticklabels(), *axes.get_legend().get_texts(), axes.xaxis.label, figure._supxlabel]]
    assert figure.get_figwidth() == 3.5
    assert min(sizes) >= 6.0


# Choices


def test_flux_takes_a_unit_that_keeps_its_numbers_short():
    def unit(flux):
        return picture(light_curve(filter="o(ATLAS)", bjd_tdb=[START], flux=[flux], flux_err=[flux / 10]), Wishes(flux=True))

    assert [unit(flux).unit for flux in (50.0, 5e6, 5e10)] == ["flux (µJy)", "flux (mJy)", "flux (Jy)"]
    line = unit(5e6).lines[0].series
    assert (line.value.tolist(), line.error.tolist()) == ([5e3], [5e2])


def test_a_folded_point_stands_at_its_phase_twice():
    table = light_curve(filter="g(ZTF)", bjd_tdb=[START, START + 0.25, START + 7.5], mag=[15.0, 15.1, 15.2])
    line = picture(table, Wishes(fold=1.0, epoch=START)).lines[0]
    assert line.x.tolist() == [0.0, 0.25, 0.5, 1.0, 1.25, 1.5]
    assert line.series.value.tolist() == [15.0, 15.1, 15.2] * 2
    assert line.tally == "3"


def test_a_folded_picture_names_period_and_epoch():
    axes = axes_of(series("g(ZTF)", [15.0] * 9, step=0.3), fold=0.5668, epoch=START + 0.5)
    assert axes.get_xlabel() == "phase  (period 0.5668 d, phase 0 at MJD 58000.0000)"
    assert axes.get_xlim() == (0.0, 2.0)
    assert "each point is drawn twice" in footer_of(axes)
    assert not axes.child_axes


@pytest.mark.parametrize("period", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_period_is_refused(period):
    with pytest.raises(UsageError, match="is none"):
        Wishes(fold=period)


def test_offset_filters_do_not_lie_upon_one_another_and_say_how_far_they_moved():
    table = pa.concat_tables([series(f"{band}(LSST)", [15.0, 15.2, 15.4]) for band in "gri"])
    lines = sorted(picture(table, Wishes(offset_filters=True)).lines, key=lambda line: line.shift)
    assert all((later.series.value - earlier.series.value).min() > 0.06 * 0.4 for earlier, later in pairwise(lines))
    assert lines[0].shift == 0.0
    assert all(f"+ {line.shift:g}" in line.name for line in lines[1:])
    assert picture(table).lines[0].name == "g(LSST)"


def test_filters_that_are_apart_at_every_moment_are_not_moved():
    falling = [15.0, 16.0, 17.0, 18.0, 19.0]
    table = pa.concat_tables([series("g(ZTF)", falling), series("r(ZTF)", [mag + 0.9 for mag in falling])])
    assert [line.shift for line in picture(table, Wishes(offset_filters=True)).lines] == [0.0, 0.0]


def test_offset_fluxes_move_downwards():
    rows = [light_curve(filter=f"{band}(LSST)", bjd_tdb=[START, START + 1], flux=[10.0, 20.0]) for band in "gr"]
    lines = picture(pa.concat_tables(rows), Wishes(flux=True, offset_filters=True)).lines
    assert min(line.shift for line in lines) < 0
    assert max(line.shift for line in lines) == 0


def two_seasons():
    return pa.concat_tables([series("g(ZTF)", [15.0] * 9), series("r(ZTF)", [15.0] * 9, start=START + 1000)])


def test_compressed_gaps_keep_distances_within_a_piece_and_the_order_of_pieces():
    drawn = picture(two_seasons(), Wishes(compress_gaps=True))
    first, second = (line.x for line in drawn.lines)
    assert np.diff(first).tolist() == pytest.approx([10.0] * 8)
    assert np.diff(second).tolist() == pytest.approx([10.0] * 8)
    assert 0 < second[0] - first[-1] < 10
    assert len(drawn.axis.cuts) == 1
    assert first[-1] < drawn.axis.cuts[0] < second[0]


def test_ticks_of_a_compressed_axis_stand_where_their_epochs_stand():
    axis = picture(two_seasons(), Wishes(compress_gaps=True)).axis
    ticks = axis.mjd_ticks(8)
    assert len(ticks) >= 4
    assert all(axis.place(np.array(float(label) + 2_400_000.5)) == pytest.approx(place) for place, label in ticks)
    assert {float(label) > 58900 for _, label in ticks} == {True, False}


def test_a_cut_axis_shows_its_cuts_and_the_footer_says_so():
    axes = axes_of(two_seasons(), compress_gaps=True)
    assert len([line for line in axes.lines if line.get_gid() == "cut"]) == 1
    assert "broken axis: times without a point are left out" in footer_of(axes)


def test_a_light_curve_without_gaps_is_the_same_compressed():
    assert picture(series("g(ZTF)", [15.0] * 99), Wishes(compress_gaps=True)).axis.cuts == []


def test_gaps_and_phases_exclude_each_other():
    with pytest.raises(UsageError, match="has no gaps"):
        Wishes(fold=1.0, compress_gaps=True)


# Several targets


@pytest.mark.slow
def test_several_targets_are_a_grid(folder):
    figure = draw([picture(two_surveys(), title=f"T{number}") for number in range(5)], SIZES["page"])
    assert [frame._suptitle.get_text() for frame in figure.subfigs[:5]] == ["T0", "T1", "T2", "T3", "T4"]
    save([picture(two_surveys(), title=f"T{number}") for number in range(2)], folder / "two.png")
    save([picture(two_surveys(), title="T")], folder / "one.png")
    with Image.open(folder / "two.png") as two, Image.open(folder / "one.png") as one:
        assert two.width / two.height != pytest.approx(one.width / one.height, rel=0.01)


@pytest.mark.slow
def test_several_targets_are_the_pages_of_a_pdf_unless_a_grid_is_asked_for(folder):
    pictures = [picture(two_surveys(), title=f"T{number}") for number in range(3)]
    save(pictures, folder / "pages.pdf")
    save(pictures, folder / "grid.pdf", grid=True)
    assert (folder / "pages.pdf").read_bytes().count(b"/Type /Page ") == 3
    assert (folder / "grid.pdf").read_bytes().count(b"/Type /Page ") == 1


def test_a_grid_has_its_limit_and_names_the_way_out(folder):
    pictures = [picture(series("g(ZTF)", [15.0]))] * (MOST_IN_GRID + 1)
    with pytest.raises(UsageError, match="too many for one picture") as caught:
        save(pictures, folder / "x.png")
    assert "FILE.pdf" in str(caught.value.lines())
