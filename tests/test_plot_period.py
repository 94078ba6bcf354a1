"""The period that a folded picture uses: found where there is one, and said to be doubtful where there is none."""

import numpy as np
import pyarrow as pa
import pytest
from light_curves import START, light_curve

from harvester.errors import ExportError
from harvester.plot.period import false_alarm, find_period, phase_zero
from harvester.plot.picture import Wishes, picture
from harvester.plot.series import sketch


def observed(shape, period, *, filters=("g(ZTF)", "r(ZTF)"), count=80, noise=0.02, seed=1):
    """Return a light curve of `shape` (phase to magnitude) at `count` random times in each filter, with different ranges and levels."""
    chance = np.random.default_rng(seed)
    parts = []
    for number, name in enumerate(filters):
        times = START + np.sort(chance.uniform(0, 900, count))
        mags = 15 + number + (1 - 0.1 * number) * shape((times - START) / period % 1) + noise * chance.normal(size=count)
        parts.append(light_curve(filter=name, bjd_tdb=times.tolist(), mag=mags.tolist(), mag_err=noise))
    return sketch(pa.concat_tables(parts)).series


def sine(phase):
    return 0.3 * np.cos(2 * np.pi * phase)


def sawtooth(phase):
    return 0.8 * phase


def eclipses(phase):
    return 1.0 * np.exp(-0.5 * ((phase - 0.5) / 0.04) ** 2) + 0.4 * np.exp(-0.5 * (np.minimum(phase, 1 - phase) / 0.04) ** 2)


def flat(phase):
    return 0 * phase


@pytest.mark.parametrize(("shape", "period"), [(sine, 0.5668678), (sine, 37.21), (sawtooth, 0.5668678), (sawtooth, 5.366341)])
def test_a_period_is_found_to_a_twentieth_of_a_cycle_over_all_the_data(shape, period):
    found = find_period(observed(shape, period))
    assert abs(found.days - period) < 0.05 * period**2 / 900
    assert found.false_alarm < 1e-10


def test_filters_that_tell_little_alone_tell_the_period_together():
    bands = [f"{band}(LSST)" for band in "ugrizy"]
    curve = observed(sine, 0.7321, filters=bands, count=14, noise=0.15)
    together = find_period(curve)
    assert together.days == pytest.approx(0.7321, abs=1e-4)
    with pytest.raises(ExportError, match="no period can be searched for"):
        find_period(curve[:1])


@pytest.mark.slow
def test_unequal_eclipses_are_not_folded_upon_each_other():
    assert find_period(observed(eclipses, 2.8673, count=400)).days == pytest.approx(2.8673, abs=2e-3)


def test_a_star_that_does_not_vary_has_no_significant_period():
    found = find_period(observed(flat, 1.0))
    assert found.false_alarm > 0.01
    assert found.words.startswith("NOT SIGNIFICANT")


@pytest.mark.slow
@pytest.mark.parametrize("filters", [1, 3])
def test_noise_alone_reaches_a_false_alarm_level_about_as_often_as_it_says(filters):
    names = [f"{band}(LSST)" for band in "gri"[:filters]]
    levels = np.array([find_period(observed(flat, 1.0, filters=names, count=40, seed=seed)).false_alarm for seed in range(40)])
    assert (levels < 0.025).sum() <= 4
    assert levels.min() < 0.7


@pytest.mark.parametrize("u", [20.0, 40.0, 90.0])
def test_for_one_filter_the_level_is_the_bound_of_baluev(u):
    width = 10.0 * 300.0
    baluev = np.exp(-u / 2) + np.sqrt(4 * np.pi) * width * np.exp(-u / 2) * np.sqrt(u / 2)
    assert false_alarm(u, 1, width) == pytest.approx(min(1.0, baluev), rel=1e-9)


def test_the_chance_at_one_frequency_is_that_of_chi_square():
    chance = np.random.default_rng(5)
    draws = chance.chisquare(6, 200_000)
    assert false_alarm(9.0, 3, 0.0) == pytest.approx((draws > 9.0).mean(), rel=0.03)


def test_limits_and_doubtful_points_are_not_heard():
    curve = observed(sine, 0.5668678)
    spoilt = [one.take(np.arange(one.value.size)) for one in curve]
    for one in spoilt:
        one.value[:10] = 3.0
        one.limit[:5], one.doubtful[5:10] = True, True
    assert find_period(spoilt).days == pytest.approx(find_period(curve).days, abs=1e-5)


@pytest.mark.slow
def test_a_crowd_is_sampled_and_that_is_said():
    found = find_period(observed(sine, 0.5668678, count=15_000))
    assert found.days == pytest.approx(0.5668678, abs=2e-6)
    assert "on a sample of 20000 points" in found.words


def test_the_same_points_give_the_same_period():
    assert find_period(observed(sawtooth, 0.5668678)) == find_period(observed(sawtooth, 0.5668678))


@pytest.mark.parametrize(("shape", "phase"), [(sawtooth, 0.0), (eclipses, 0.5)])
def test_phase_0_is_greatest_light_of_a_pulsation_and_the_middle_of_an_eclipse(shape, phase):
    series = observed(shape, 2.0, count=300)
    off = ((phase_zero(series, 2.0) - START) / 2.0 - phase + 0.5) % 1 - 0.5
    assert abs(off) < 0.1


def test_too_few_points_say_so_and_how_to_fold_all_the_same():
    with pytest.raises(ExportError, match="no period can be searched for") as caught:
        find_period(observed(sine, 0.5, count=9))
    assert "there are 18" in str(caught.value.lines())
    assert "--fold DAYS" in str(caught.value.lines())
    assert picture(light_curve(filter="g(ZTF)", bjd_tdb=[START, START + 1], mag=[15.0, 15.1]), Wishes(fold=0.5)).lines[0].x.size == 4


def test_an_hour_of_data_has_no_period_to_search_for():
    times = (START + np.linspace(0, 0.04, 50)).tolist()
    with pytest.raises(ExportError, match=r"The points span 0\.04 d"):
        find_period(sketch(light_curve(filter="g(ZTF)", bjd_tdb=times, mag=[15.0 + 0.01 * (k % 3) for k in range(50)])).series)


def test_a_period_at_which_all_points_have_one_phase_can_be_folded_with():
    table = light_curve(filter="g(ZTF)", bjd_tdb=[START + day for day in range(40)], mag=[15.0 + 0.1 * (day % 2) for day in range(40)])
    assert set(np.round(picture(table, Wishes(fold=1.0)).lines[0].x, 9)) == {0.0, 1.0}
