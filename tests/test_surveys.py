"""One source, several surveys: each row has the filter, time system, passbands and match of its own survey."""

from dataclasses import replace

import pyarrow as pa
import pytest

from harvester.delivery import deliver, with_bjd_tdb
from harvester.payload import Payload, SkyObject
from harvester.schema import label, parts
from harvester.source import Source, TimeSystem
from harvester.store import Store
from harvester.store.same import digest_of
from harvester.target import Target
from harvester.task import Task
from harvester.visiting import _found

HERE = Target("here", 150.0, 2.0)
DAY = 86400.0
UTC = TimeSystem("mjd", "utc", "observatory", site="Palomar", stamp="start")
TAI = TimeSystem("mjd", "tai", "observatory", site="Palomar")


class Broker(Source):
    """Serves rows of any survey that the payload names, one a line: survey, passband, object id, observation id."""

    survey, base_url, time_system, also_serves = "ZTF", "https://broker.example/", UTC, {"LSST": TAI}

    def fetch(self, query, http):
        yield from ()

    def normalise(self, payload):
        lines = [line.split() for line in payload.body.decode().splitlines()]
        names = ("survey", "passband", "object_id", "observation_id")
        columns = {name: [None if line[place] == "-" else line[place] for line in lines] for place, name in enumerate(names)}
        count = len(lines)
        fixed = {"time": 61000.0, "exptime": 60.0, "mag": 18.0, "mag_err": 0.1, "ra": 150.0, "dec": 2.0}
        return pa.table(columns | {name: [value] * count for name, value in fixed.items()})


def delivered(text, *objects):
    return deliver(Broker(), [Payload(text.encode(), source="broker", objects=objects)])


def visited(delivery, target=HERE):
    task = Task("broker", (target,), 1.5)
    ((visit, outcome),) = _found(task, delivery.source, delivery.payloads, delivery.shared(task.query))
    return visit, outcome


@pytest.mark.parametrize("name", ["g(ZTF)", "G(GAIA_DR3)", "R (CV)(AAVSO)"])
def test_a_filter_comes_apart_as_it_was_put_together(name):
    assert label(*parts(name)) == name


def test_a_row_is_labelled_and_timed_by_its_own_survey():
    rows = with_bjd_tdb(delivered("- g 1 a\nLSST g 2 b\n").rows, HERE, Broker().systems()).to_pylist()
    ztf, lsst = ({row["filter"]: row["bjd_tdb"] for row in rows}[name] for name in ("g(ZTF)", "g(LSST)"))
    assert (ztf - lsst) * DAY == pytest.approx(37.0 + 30.0, abs=0.01), "UTC against TAI, start against middle; the Earth moves on meanwhile"


def test_each_survey_has_its_own_passbands():
    delivery = delivered("ZTF g 1 a\nZTF y 1 b\nLSST y 2 c\nLSST zz 2 d\n")
    assert delivery.rows["filter"].to_pylist() == ["g(ZTF)", "y(LSST)"]
    rejected = delivery.rejected.select(["survey", "passband", "reason"]).to_pylist()
    assert rejected == [
        {"survey": "ZTF", "passband": "y", "reason": "unknown passband"},
        {"survey": "LSST", "passband": "zz", "reason": "unknown passband"},
    ]


def test_a_survey_that_the_source_does_not_serve_is_quarantined():
    delivery = delivered("ZTF g 1 a\nATLAS o 9 b\n")
    assert delivery.rows.num_rows == 1
    assert delivery.rejected.select(["survey", "reason"]).to_pylist() == [{"survey": "ATLAS", "reason": "unknown passband"}]
    visit, _ = visited(delivery)
    assert visit.quarantine is not None


def test_the_target_is_one_thing_in_each_survey():
    objects = SkyObject("1", 150.0, 2.0), SkyObject("2", 150.0, 2.0 + 1 / 3600, survey="LSST"), SkyObject("3", 150.0, 2.0003, survey="LSST")
    visit, outcome = visited(delivered("ZTF g 1 a\nLSST g 2 b\nLSST g 3 c\n", *objects))
    assert (visit.object_ids, visit.also_ids) == (("1",), {"LSST": ("2",)})
    assert sorted(visit.rows["filter"].to_pylist()) == ["g(LSST)", "g(ZTF)"]
    assert (outcome.neighbours, outcome.ambiguous) == (1, True)


def test_an_id_that_is_known_counts_in_its_own_survey_alone():
    known = Target("here", 150.0, 2.0, ids={"LSST": ("3",), "ZTF": ("2",)})
    objects = SkyObject("2", 150.0, 2.0, survey="LSST"), SkyObject("3", 150.0, 2.0003, survey="LSST")
    visit, _ = visited(delivered("LSST g 2 b\nLSST g 3 c\n", *objects), known)
    assert visit.also_ids == {"LSST": ("3",)}


def test_rows_of_a_thing_that_its_survey_does_not_list_are_nobodys():
    delivery = delivered("ZTF g 1 a\nLSST g 7 b\n", SkyObject("1", 150.0, 2.0), SkyObject("2", 150.0, 2.0, survey="LSST"))
    assert delivery.rows["filter"].to_pylist() == ["g(ZTF)"]
    assert delivery.rejected.select(["survey", "passband", "reason"]).to_pylist() == [
        {"survey": "LSST", "passband": "g(LSST)", "reason": "of a thing that was not asked for"}
    ]


def test_a_survey_that_promised_photometry_and_sent_none_is_told_though_another_sent_some():
    objects = SkyObject("1", 150.0, 2.0, has_photometry=True), SkyObject("2", 150.0, 2.0, survey="LSST", has_photometry=True)
    visit, outcome = visited(delivered("ZTF g 1 a\n", *objects))
    assert outcome.kind == "suspicious"
    assert "LSST" in outcome.message
    assert "ZTF" not in outcome.message
    assert visit.rows.num_rows == 1


def test_the_store_keeps_filters_and_ids_of_every_survey(store_url):
    objects = SkyObject("1", 150.0, 2.0), SkyObject("2", 150.0, 2.0, survey="LSST")
    visit, _ = visited(delivered("ZTF g 1 a\nLSST g 2 b\n", *objects))
    with Store.open(store_url, simulated=True) as store:
        with store.run("fetch", "0") as run:
            counts = run.visit(visit)
        assert {name: count.new for name, count in counts.by_filter.items()} == {"g(LSST)": 1, "g(ZTF)": 1}
        assert store.target("here").ids == {"LSST": ("2",), "ZTF": ("1",)}
        assert [finding.check for finding in store.check() if finding.problems] == []


def test_a_delivery_in_which_another_thing_is_the_target_in_one_survey_is_not_the_same():
    objects = SkyObject("1", 150.0, 2.0), SkyObject("2", 150.0, 2.0, survey="LSST")
    visit, _ = visited(delivered("ZTF g 1 a\nLSST g 2 b\n", *objects))
    known = replace(visit, target=replace(HERE, ids={"ZTF": ("1",), "LSST": ("2",)}))
    assert digest_of(known, "0") == digest_of(visit, "0"), "what the first visit found changes nothing at the second"
    assert digest_of(replace(visit, also_ids={"LSST": ("3",)}), "0") != digest_of(visit, "0")
    assert digest_of(replace(visit, also_ids={}), "0") != digest_of(visit, "0")


def test_the_same_answer_of_several_surveys_is_known_at_once(store_url):
    objects = SkyObject("1", 150.0, 2.0), SkyObject("2", 150.0, 2.0, survey="LSST")
    visit, _ = visited(delivered("ZTF g 1 a\nLSST g 2 b\n", *objects))
    with Store.open(store_url, simulated=True) as store, store.run("fetch", "0") as run:
        run.visit(visit)
        again = run.visit(replace(visit, target=store.target("here")))
    assert (again.outcome, again.new, again.known) == ("unchanged", 0, 2)
    assert {name: count.total for name, count in again.by_filter.items()} == {"g(LSST)": 1, "g(ZTF)": 1}


def test_things_of_other_surveys_come_back_from_the_archive(store_url):
    thing = SkyObject("2", 150.0, 2.0, survey="LSST")
    visit, _ = visited(delivered("LSST g 2 b\n", SkyObject("1", 150.0, 2.0), thing))
    with Store.open(store_url, simulated=True) as store:
        with store.run("fetch", "0") as run:
            run.visit(visit)
        from harvester.store.archive import Chosen

        (chain,) = store.archive.chains(Chosen())
        (payload,) = store.archive.recorded(chain.answers[0], "broker")
        assert payload.objects == (SkyObject("1", 150.0, 2.0), thing)
