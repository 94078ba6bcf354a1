"""Real answers of Gaia DR2 and Gaia Alerts become rows with the golden numbers that others found in them."""

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import FIXTURES, needs_recordings
from test_gaia_alerts import Alerts, fetched
from test_sources import light_curve, of

from harvester.delivery import deliver
from harvester.emulator.recordings import Recording
from harvester.errors import Malformed
from harvester.payload import Payload, SkyObject, read_table
from harvester.source import load
from harvester.sources.gaia_alerts import alerts
from harvester.target import Target

pytestmark = needs_recordings
DR2 = "gaia_dr3/dr2_epoch_photometry_5813181197970338560.vot.xml"
VEGA_DR2 = {"G": 25.688366, "BP": 25.351388, "RP": 24.761920}
GOLDEN_DR2 = Target("golden T086", 263.3474, -66.8984)


def conformed(name, body, *ids):
    return deliver(load(name), [Payload(body, source=name, objects=tuple(SkyObject(word, 0.0, 0.0) for word in ids))])


def test_a_real_light_curve_of_dr2_is_stored_whole(recorded):
    delivery = conformed("gaia_dr2", recorded(DR2))
    assert not delivery.rejected.num_rows
    assert [of(delivery.rows, f"{band}(GAIA_DR2)").num_rows for band in ("G", "BP", "RP")] == [85, 83, 83]
    assert set(delivery.rows["object_id"].to_pylist()) == {"5813181197970338560"}
    assert pc.count_distinct(delivery.rows["observation_id"]).as_py() == 251


@pytest.mark.parametrize(("time", "bjd_tdb"), [
    (1705.9437360200984, 2456903.443522684204), (2008.9763926282915, 2457206.476174593815), (2296.19838754286, 2457493.698165054950),
])  # fmt: skip
def test_a_real_stamp_of_dr2_becomes_its_golden_bjd_tdb(recorded, time, bjd_tdb):
    rows = light_curve("gaia_dr2", recorded(DR2), GOLDEN_DR2).to_pylist()
    (found,) = {row["bjd_tdb"] for row in rows if row["time"] == time}
    assert (found - bjd_tdb) * 86400 == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(("band", "zeropoint_jy"), [("G", 3296.002), ("BP", 3534.528), ("RP", 2620.149)])
def test_real_fluxes_and_magnitudes_of_dr2_agree_by_its_zero_points(recorded, band, zeropoint_jy):
    rows = of(light_curve("gaia_dr2", recorded(DR2)), f"{band}(GAIA_DR2)")
    mags, flux = rows["mag"].to_numpy(), rows["flux"].to_numpy()
    assert np.nanmax(np.abs(mags + 2.5 * np.log10(flux / zeropoint_jy / 1e6))) < 5e-6, "the service prints four-byte magnitudes"


def test_errors_and_grades_of_real_dr2_rows_are_those_of_its_own_columns(recorded):
    served = read_table(Payload(recorded(DR2)))
    rows = light_curve("gaia_dr2", recorded(DR2)).sort_by("observation_id").to_pylist()
    said = {f"{row['transit_id']}-{row['band']}": row for row in served.to_pylist()}
    for row in rows:
        own = said[row["observation_id"]]
        bit = {"G": 0, "BP": 1024, "RP": 2048}[own["band"]]
        assert row["mag_err"] == pytest.approx(2.5 / np.log(10) / own["flux_over_error"], rel=1e-5)
        assert row["quality"] == (2 if own["rejected_by_photometry"] or own["rejected_by_variability"] or own["other_flags"] & bit else 0)
    assert {row["quality"] for row in rows} == {0, 2}


@pytest.mark.parametrize(("name", "rows", "numbers", "null", "untrusted"), [("Gaia23dau", 128, 109, 7, 12), ("Gaia23dka", 11, 11, 0, 0)])
def test_real_alerts_keep_every_magnitude_and_every_word(recorded, name, rows, numbers, null, untrusted):
    delivery = conformed("gaia_alerts", recorded(f"gaia_alerts/mop_{name}_lightcurve.csv"), name)
    assert delivery.rows.num_rows + delivery.rejected.num_rows == rows
    assert delivery.rows.num_rows == numbers
    flags = delivery.rejected["flags"].to_pylist()
    assert (flags.count("averagemag null"), flags.count("averagemag untrusted")) == (null, untrusted)


def test_a_real_stamp_of_an_alert_becomes_its_golden_bjd_tdb(recorded):
    rows = light_curve("gaia_alerts", recorded("gaia_alerts/mop_Gaia23dau_lightcurve.csv"), Target("Gaia23dau", 80.869, 21.795)).to_pylist()
    found = {row["time"]: row["bjd_tdb"] for row in rows}
    assert (found[2457106.99663] - 2457106.996413507977) * 86400 == pytest.approx(0, abs=1e-4)
    assert {row["time"]: row["mag"] for row in rows}[2457106.99663] == 17.38


def test_a_real_fragment_with_an_old_header_and_a_repeated_row_is_one_measurement(recorded):
    delivery = conformed("gaia_alerts", recorded("gaia_alerts/bhtom2_lightcurve_untrusted_nan.csv"), "Gaia21een")
    (row,) = delivery.rows.to_pylist()
    assert (row["mag"], row["object_id"]) == (18.91, "Gaia21een")
    assert row["mag_err"] == pytest.approx(0.0454, abs=5e-5)
    assert delivery.rejected["flags"].to_pylist() == ["averagemag untrusted", "averagemag null"]


@pytest.mark.parametrize(("name", "number"), [("bhtom2_alerts_2rows.csv", 2), ("bhtom2_alerts_3rows.csv", 3)])
def test_the_real_list_gives_places_epochs_and_both_names(recorded, name, number):
    by_name, places, things = alerts(recorded(f"gaia_alerts/{name}"))
    assert len(things) == number
    assert places[:, 0].tolist() == [111.55315, -39.30836]
    assert (things[0].object_id, things[0].epoch) == ("Gaia21eeo", pytest.approx(2021.68, abs=0.005))
    assert by_name["gaia21een"] == by_name["2021yjm"] == 1
    (index, _) = fetched(Target("in the field", 113.25287, -31.98319), Alerts(recorded(f"gaia_alerts/{name}")))
    assert [thing.object_id for thing in index.objects] == ["Gaia21een"]


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", [DR2, "gaia_alerts/mop_Gaia23dau_lightcurve.csv", "gaia_alerts/bhtom2_alerts_3rows.csv"])
def test_a_real_answer_that_was_cut_off_is_malformed(recorded, name, part):
    whole = recorded(name)
    body = whole[: int(len(whole) * part)]
    source = "gaia_dr2" if name == DR2 else "gaia_alerts"
    with pytest.raises(Malformed) as caught:
        fetched(Target("x", 1.0, 1.0), Alerts(body)) if "alerts_3" in name else load(source).normalise(Payload(body, source=source))
    assert caught.value.payload.body == body


def test_a_real_alert_goes_the_whole_way(harvest, emulator):
    host, curve = "gsaweb.ast.cam.ac.uk", FIXTURES / "gaia_alerts" / "mop_Gaia23dka_lightcurve.csv"
    index = harvest.store.parent / "alerts.csv"
    head = FIXTURES.joinpath("gaia_alerts", "bhtom2_alerts_2rows.csv").read_text("utf-8").splitlines()[0]
    index.write_text(f'{head}\nGaia23dka,2023-11-25 21:36:23,150.00000,2.00000,18.10,,,"unknown",2023-11-27 10:00:00,"",\n', "utf-8")
    emulator.recordings = [
        Recording(host, "/alerts/alerts.csv", index, content_type="text/csv"),
        Recording(host, "/alerts/alert/Gaia23dka/lightcurve.csv", curve, content_type="text/csv"),
    ]
    assert harvest("fetch --source gaia_alerts --target '150.0001 2.0' --json") == 0
    assert harvest.objects[0]["filters"] == {"G(GAIA_ALERTS)": {"new": 11, "revised": 0, "total": 11}}
