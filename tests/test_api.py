"""Harvester from Python: what the documentation promises, on the simulated sky and on stores made here."""

import doctest
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from test_digest import limits, night, points

import harvester
from harvester.api import curve, work
from harvester.errors import BadTarget, ExportError, StoreError, UnknownSource, UsageError, WrongKind
from harvester.store import LIGHT_CURVE


@pytest.fixture
def store(tmp_path):
    with harvester.open(tmp_path / "api.db", emulate=True) as opened:
        yield opened


@pytest.fixture
def held(store):
    """A store with a star in two filters, some of its points limits."""
    table = pa.concat_tables([points([15.0, 15.1, 15.2]), limits([20.0], first=3), points([14.0], first=1, name="r(ZTF)", flags="ok")])
    night(store, {"S 1": table})
    return store


@pytest.mark.parametrize("module", [work, curve], ids=lambda module: module.__name__)
def test_the_examples_are_true(module):
    failed, attempted = doctest.testmod(module)
    assert attempted > 1
    assert failed == 0


def test_importing_is_light_and_every_public_name_is_there():
    code = (
        "import sys, harvester\n"
        "heavy = ['pandas', 'astropy', 'pyarrow', 'numpy', 'sqlalchemy', 'httpx', 'requests', 'click', 'rich']\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "print([name for name in harvester.__all__ if not hasattr(harvester, name)], set(dir(harvester)) == set(harvester.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[] True"]


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        harvester.nothing  # noqa: B018


def test_fetching_stores_what_the_command_would_store(store, harvest):
    (outcome,) = harvester.fetch(store, "gaia_dr3", "RR Lyr")
    harvest("fetch --source gaia_dr3 --target 'RR Lyr' -q")
    with harvester.Store.open(harvest.store, simulated=None) as other:
        assert other.light_curve("RR Lyr", quality="all") == store.light_curve("RR Lyr", quality="all")
    assert (outcome.kind, outcome.counts.new) == ("new", store.points()["RR Lyr"])
    assert store.runs()[0]["command"] == "harvester.fetch (Python)"


def test_an_interval_may_be_moments_or_mjd(store):
    first = harvester.fetch(store, ["ztf_dr"], ["RR Lyr"], until=datetime(2019, 1, 1, tzinfo=UTC))
    again = harvester.fetch(store, ["ztf_dr"], ["RR Lyr"], until=58484.0)
    assert [one.kind for one in (*first, *again)] == ["new", "unchanged"]
    assert store.light_curve("RR Lyr", quality="all")["bjd_tdb"].to_numpy().max() < 2_458_484.51
    with pytest.raises(UsageError, match="time zone"):
        harvester.fetch(store, ["ztf_dr"], ["RR Lyr"], since=datetime(2019, 1, 1))  # noqa: DTZ001


def test_a_name_that_nobody_knows_is_an_outcome_and_a_warning_and_stops_nobody(store):
    heard = []
    with pytest.warns(harvester.NotAllSucceeded, match="1 of 2 did not succeed, the first: No Such Star"):
        outcomes = harvester.fetch(store, ["gaia_dr3"], ["No Such Star", "RR Lyr"], on_outcome=heard.append)
    assert [(one.target, one.source, one.kind) for one in outcomes] == [("No Such Star", "", "failed"), ("RR Lyr", "gaia_dr3", "new")]
    assert heard == outcomes


def test_what_makes_no_sense_is_refused_before_anyone_is_asked(store, tmp_path):
    for sources, targets, error in (
        (["gaia_dr9"], ["RR Lyr"], UnknownSource),
        (["mars"], ["RR Lyr"], UsageError),
        (["gaia_dr3"], [], UsageError),
        (["gaia_dr3"], ["400 20"], (BadTarget, UsageError)),
    ):
        with pytest.raises(error):
            harvester.fetch(store, sources, targets)
    assert store.runs() == []
    with pytest.raises(WrongKind):
        harvester.open(tmp_path / "api.db")
    with pytest.raises(StoreError):
        harvester.open(tmp_path / "none.db", create=False)


def test_a_light_curve_is_arrow_and_whoever_speaks_arrow_takes_it(held):
    found = harvester.light_curve(held, "s_1", quality="all")
    assert found.to_arrow().schema.equals(LIGHT_CURVE)
    assert found.to_arrow().schema.metadata[b"data"] == b"simulated"
    assert pa.table(found).equals(found.table)
    assert pl.DataFrame(found)["mag"].to_list() == found.table["mag"].to_pylist()
    assert repr(found) == "LightCurve('S 1', 5 points, g(ZTF) r(ZTF), simulated)"
    assert len(found.in_filter("r(ZTF)")) == 1


def test_pandas_has_every_value_and_says_what_the_data_are(held):
    found = harvester.light_curve(held, "S 1")
    frame = found.to_pandas()
    assert list(frame.columns) == LIGHT_CURVE.names
    assert frame.attrs["data"] == "simulated"
    assert frame["mag"].isna().tolist() == [False, False, False, True, False]
    assert frame["bjd_tdb"].tolist() == found.table["bjd_tdb"].to_pylist()


def test_astropy_has_units_and_masks_what_is_missing(held):
    found = harvester.light_curve(held, "S 1")
    table = found.to_astropy()
    for name in LIGHT_CURVE.names:
        values = [None if value is np.ma.masked else value for value in table[name]]
        assert values == found.table[name].to_pylist(), name
    assert (str(table["flux"].unit), str(table["mag"].unit), str(table["bjd_tdb"].unit)) == ("uJy", "mag", "d")
    assert table.meta["target"] == "S 1"


def test_a_time_series_is_in_order_and_in_tdb(held):
    found = harvester.light_curve(held, "S 1")
    series = found.to_timeseries()
    assert (series.time.scale, series.time.format, len(series)) == ("tdb", "jd", 5)
    assert series.time.jd.tolist() == sorted(found.table["bjd_tdb"].to_pylist())
    assert "survey_time" in series.colnames
    assert harvester.light_curve(held, "S 1", filters=["none"]).to_timeseries().colnames == series.colnames


def test_lightkurve_gets_the_fluxes_of_one_filter_or_the_user_a_remedy(held):
    found = harvester.light_curve(held, "S 1")
    with pytest.raises(UsageError, match="of one filter"):
        found.to_lightkurve()
    with pytest.raises(UsageError, match="no point in"):
        found.to_lightkurve("z(ZTF)")
    try:
        import lightkurve  # noqa: F401
    except ImportError:
        with pytest.raises(ExportError, match="pip install lightkurve"):
            found.to_lightkurve("g(ZTF)")
        return
    made = found.to_lightkurve("g(ZTF)")
    assert made.flux.to_value("uJy").tolist() == found.table["flux"].to_pylist()[:3]
    assert made.time.scale == "tdb"


def test_a_target_that_is_not_there_is_said_with_what_to_do(held):
    with pytest.raises(StoreError, match="Get it first"):
        harvester.light_curve(held, "T Tau")
