"""The digest: what changed is told from what always varies, what failed from when it began, and nobody's words are more than words."""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from chromium import CHROMIUM, Browser
from light_curves import light_curve
from nights import DOWN, _surveys
from stores import postgres_url, store, store_url
from test_update import BOTH, follow
from test_update import harvest as update

from harvester.brightness import AB_ZEROPOINT_JY, flux_from_mag
from harvester.digest import digest, with_pictures
from harvester.digest.change import APPEARED, BRIGHTER, FAINTER, FIRST, SHORT, VANISHED
from harvester.digest.folder import write_day
from harvester.digest.page import page
from harvester.digest.text import WIDTH, text
from harvester.errors import StoreError, UsageError
from harvester.payload import Payload
from harvester.store import Store, Visit
from harvester.target import Target

__all__ = ["_surveys", "postgres_url", "store", "store_url", "update"]

START = 2_461_000.5
CHANCE = np.random.default_rng(7)
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[31m"
TODAY = datetime.now(UTC).date().isoformat()


def points(mags, *, first=0, name="g(ZTF)", error=0.02, **columns):
    """Return a point a day, as a source delivers them; a magnitude and its flux unless a column says otherwise."""
    days = np.arange(first, first + len(mags)) + START
    flux = flux_from_mag(mags, AB_ZEROPOINT_JY)
    given = {
        "filter": name,
        "time": (days - 2_400_000.5).tolist(),
        "bjd_tdb": days.tolist(),
        "mag": list(mags),
        "mag_err": error,
        "flux": flux.tolist(),
        "flux_err": (flux * (error or 0.01) / 1.0857).tolist(),
        "object_id": "Z1",
        "observation_id": [f"{name}{day}" for day in days],
    }
    return light_curve(**given | columns)


def limits(depths, *, first=0, **columns):
    """Return limits without a measured flux."""
    none = [None] * len(depths)
    given = {"mag": none, "mag_err": None, "flux": none, "flux_err": None, "upper_limit": True, "limiting_mag": list(depths)}
    return points(depths, first=first, limit_sigma=5.0, **given | columns)


def ordinary(count=30, *, mag=18.0, spread=0.03):
    return points(CHANCE.normal(mag, spread, count))


def night(store, tables, *, outcome="new", source="ztf_dr", command="update", **more):
    """Store a run that brings each target a table, or None."""
    with store.run(command, "0.1.0") as run:
        for name, table in tables.items():
            target = Target(name, float(sum(name.encode()) % 360), 20.0)
            payload = Payload(os.urandom(8), "https://x.example/", {}, "text/csv", "2026-11-20T00:00:00.000Z", source)
            came = table and table.append_column("payload", pa.array([0] * table.num_rows, pa.int32()))
            run.visit(Visit(target, source, "ZTF", came, [payload] if table else [], outcome=outcome, since=59_000.0, **more))


def change_of(store, history, new):
    """Return what a digest says of the first filter of a target."""
    night(store, {"S": history})
    night(store, {"S": new})
    (one,) = digest(store).news
    return one.changes[0]


@pytest.fixture
def small_store(tmp_path):
    with Store.open(tmp_path / "night.db", simulated=True) as opened:
        yield opened


def test_a_star_that_brightens_is_told_by_how_much_in_its_own_spread(small_store):
    change = change_of(small_store, ordinary(), points([16.5, 16.5, 16.4], first=40))
    assert (change.filter, change.kind, change.points) == ("g(ZTF)", BRIGHTER, 1)
    assert change.before == pytest.approx(18.0, abs=0.03)
    assert change.now == pytest.approx(16.4, abs=1e-6)
    assert 25 < change.sigma < 60
    assert change.bjd_tdb == START + 42


def test_a_variable_star_that_does_what_it_always_did_has_not_changed(small_store):
    phases = CHANCE.uniform(0, 2 * np.pi, 65)
    mags = 14 + 0.8 * np.sin(phases)
    change = change_of(small_store, points(mags[:60]), points(mags[60:], first=70))
    assert abs(change.sigma) < 3


def test_an_eclipse_like_those_before_is_no_change_and_a_deeper_one_is(tmp_path):
    mags = np.where(np.arange(60) % 10 == 3, 15.0, 14.0) + CHANCE.normal(0, 0.01, 60)
    for number, (depth, is_changed) in enumerate([(15.0, False), (19.0, True)]):
        with Store.open(tmp_path / f"{number}.db", simulated=True) as opened:
            change = change_of(opened, points(mags), points([depth], first=70))
            assert (change.kind, abs(change.sigma) >= 5) == (FAINTER, is_changed)


def test_noise_is_no_change(small_store):
    night(small_store, {f"N{number}": ordinary() for number in range(60)})
    night(small_store, {f"N{number}": points(CHANCE.normal(18, 0.03, 2), first=50) for number in range(60)})
    found = digest(small_store)
    assert len(found.news) == 60
    assert found.changed == ()


def test_a_detection_where_there_were_only_limits_has_appeared(small_store):
    change = change_of(small_store, limits([20.5] * 5), points([18.0], first=9, error=0.05))
    assert (change.kind, change.before, change.now) == (APPEARED, 20.5, pytest.approx(18.0))
    assert change.sigma == pytest.approx(1 / np.hypot(0.05 / 1.0857, 0.1 / 5), rel=1e-3)


def test_a_limit_far_below_the_usual_brightness_is_a_change_and_a_shallow_one_is_not(tmp_path):
    for number, (depth, kind) in enumerate([(20.5, VANISHED), (16.0, FAINTER)]):
        with Store.open(tmp_path / f"{number}.db", simulated=True) as opened:
            change = change_of(opened, ordinary(), limits([depth], first=50))
            assert (abs(change.sigma) > 20) == (kind == VANISHED)
            assert change.kind == kind or change.sigma == 0


def test_measured_fluxes_count_as_they_are_even_below_zero(small_store):
    dark = [None] * 20
    flux = CHANCE.normal(0, 3.0, 20).tolist()
    history = points([20.0] * 20, mag=dark, mag_err=None, flux=flux, flux_err=3.0, upper_limit=True, limiting_mag=20.0)
    new = points([18.0], first=30, flux=[230.0], flux_err=3.0)
    change = change_of(small_store, history, new)
    assert change.kind == BRIGHTER
    assert change.sigma > 2
    assert np.isnan(change.before) or change.before > 20


@pytest.mark.parametrize("quality", [1, 2])
def test_doubtful_points_change_nothing(small_store, quality):
    night(small_store, {"S": ordinary()})
    night(small_store, {"S": points([12.0], first=50, quality=quality)})
    (one,) = digest(small_store).news
    assert (one.added, one.changes, one.is_changed) == (1, (), False)
    assert "no good new point" in text(digest(small_store))


def test_a_filter_without_fluxes_is_compared_in_magnitudes(small_store):
    none = [None] * 30
    history = points(CHANCE.normal(9, 0.1, 30), name="Vis.(AAVSO)", flux=none, flux_err=None, mag_err=None)
    new = points([6.0], first=50, name="Vis.(AAVSO)", flux=[None], flux_err=None, mag_err=None)
    change = change_of(small_store, history, new)
    assert (change.kind, change.now) == (BRIGHTER, 6.0)
    assert change.sigma > 10


def test_what_cannot_be_compared_is_said(small_store):
    night(small_store, {"new": ordinary(5), "short": points([15.0, 15.1])})
    by_name = {one.target: one for one in digest(small_store).news}
    assert [change.kind for change in by_name["new"].changes] == [FIRST]
    night(small_store, {"short": points([12.0], first=5)})
    (one,) = digest(small_store).news
    assert (one.changes[0].kind, one.sigma, one.is_changed) == (SHORT, 0.0, False)
    assert "history too short" in text(digest(small_store))


def test_the_greatest_change_comes_first_on_either_back_end(store):
    night(store, {name: ordinary() for name in ("calm", "flares", "fades")})
    night(store, {"calm": points([18.0], first=50), "flares": points([14.0], first=50), "fades": points([18.5], first=50)})
    found = digest(store)
    assert [(one.target, one.is_changed) for one in found.news] == [("flares", True), ("fades", True), ("calm", False)]
    assert found.headline == "2 targets changed, 3 new points of 3 targets"


def test_a_revision_is_news_but_no_change_on_either_back_end(store):
    history = ordinary()
    night(store, {"S": history})
    mags = pa.array([12.0, *history["mag"].to_pylist()[1:]])
    revised = history.set_column(history.schema.get_field_index("mag"), "mag", mags)
    night(store, {"S": revised})
    (one,) = digest(store).news
    assert (one.added, one.revised, one.changes) == (0, 1, ())


def test_an_earlier_run_is_told_as_it_was(store):
    night(store, {"S": ordinary()})
    night(store, {"S": points([14.0], first=40)})
    before = digest(store)
    night(store, {"S": points([10.0, 10.0], first=60)})
    again = digest(store, "last-1")
    assert [one.changes for one in again.news] == [one.changes for one in before.news]
    assert digest(store, "2").news[0].added == 1


def test_a_failure_is_told_with_when_it_began_on_either_back_end(store):
    night(store, {"S": points([15.0])})
    for message in ("first", "second\nmore"):
        night(store, {"S": None}, outcome="failed", error_kind="unreachable", message=message)
    told = {row["run"]: row["started"] for row in store.runs()}
    now = digest(store)
    (row,) = now.troubles
    assert (row["source"], row["outcome"], row["error"], row["targets"], row["target"]) == ("ztf_dr", "failed", "unreachable", 1, "S")
    assert told[2] <= row["since"] <= told[3]
    night(store, {"S": points([15.0, 15.1])})
    assert digest(store).troubles == ()
    (then,) = digest(store, "3").troubles
    assert (then["since"], then["message"], then["targets"]) == (row["since"], "second\nmore", 1)
    assert "did not succeed at 1 source" in digest(store, "3").headline


def test_what_waits_is_told_apart_from_what_failed(small_store):
    night(small_store, {"S": None}, outcome="postponed", error_kind="throttled", message="asked to wait")
    found = digest(small_store)
    assert (found.troubles, [row["outcome"] for row in found.waiting]) == ((), ["postponed"])
    assert "PUT OFF, OR UNDER WAY" in text(found)


def test_a_date_means_all_runs_that_began_then(small_store):
    night(small_store, {"S": ordinary()})
    night(small_store, {"S": points([14.0], first=40)})
    found = digest(small_store, TODAY)
    assert [run["run"] for run in found.runs] == [1, 2]
    assert found.news[0].added == 31
    assert digest(small_store, "2001-01-01").runs == ()
    assert "nothing was asked" in page(digest(small_store, "2001-01-01"))


def test_what_changed_since_a_first_harvest_of_the_same_day_is_told(small_store):
    night(small_store, {"S": ordinary(), "once": ordinary()})
    assert [one.changes[0].kind for one in digest(small_store, TODAY).news] == [FIRST, FIRST]
    night(small_store, {"S": points([14.0], first=40)})
    one, other = digest(small_store, TODAY).news
    assert (one.target, one.added, one.changes[0].kind, one.changes[0].points, one.is_changed) == ("S", 31, BRIGHTER, 1, True)
    assert (other.target, other.is_first, other.changes[0].kind) == ("once", True, FIRST)


@pytest.mark.parametrize(("word", "error"), [("2026-13-01", UsageError), ("yesterday", UsageError), ("9", StoreError)])
def test_a_run_that_is_not_there_is_said(small_store, word, error):
    night(small_store, {"S": ordinary()})
    with pytest.raises(error):
        digest(small_store, word)


class Reader(HTMLParser):
    """Collects the elements of a page, and what links and loads."""

    VOID = ("meta", "link", "br", "img", "input", "rect", "path")

    def __init__(self, told):
        super().__init__()
        self.tags, self.targets, self.ids, self.open = [], [], [], []
        self.feed(told)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.targets += [(tag, given[name]) for name in ("src", "href", "xlink:href", "data", "action") if name in given]
        assert not [name for name in given if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def crowd(store, count=100, *, points_each=120):
    """Fill a store with so many targets, each with news, and return its digest with pictures."""
    names = [f"Gaia26{number:03d}" for number in range(count)]
    night(
        store,
        {name: pa.concat_tables([ordinary(points_each), points(CHANCE.normal(17.5, 0.03, points_each), name="r(ZTF)")]) for name in names},
    )
    new = {name: points([18.0 - (number % 9 == 0) * 3.0], first=points_each + 9) for number, name in enumerate(names)}
    night(store, new)
    night(store, {"down": None}, outcome="failed", error_kind="unreachable", message="it is down.\nCome back later.")
    return with_pictures(store, replace(digest(store, "2"), troubles=digest(store).troubles))


def test_a_hundred_targets_are_a_page_of_less_than_two_megabytes_with_a_picture_each(small_store):
    found = crowd(small_store)
    told = page(found)
    assert len(told.encode()) < 2_000_000
    assert told.count("<svg") == 100
    assert len(found.changed) == 12


def test_the_page_loads_nothing_runs_nothing_and_is_well_formed(small_store):
    told = page(crowd(small_store, 12, points_each=20), overview="index.html")
    seen = Reader(told)
    assert seen.open == []
    assert "script" not in seen.tags
    assert {target for _, target in seen.targets if not target.startswith("#")} == {"data:,", "index.html"}
    assert {target[1:] for _, target in seen.targets if target.startswith("#")} <= set(seen.ids)
    assert len(seen.ids) == len(set(seen.ids))
    assert not re.search(r"url\(|@import|javascript:", told)
    assert "default-src 'none'" in told
    assert told.count("<h1") == 1
    assert '<html lang="en">' in told


def test_names_and_messages_are_never_markup_nor_orders_to_a_terminal(small_store):
    found = crowd(small_store, 2, points_each=9)
    row = {"source": "<b>x</b>", "outcome": "failed", "error": "bug", "targets": 1, "since": "2026-11-20T01:02:03Z"}
    row |= {"target": HOSTILE, "message": HOSTILE}
    found = replace(found, store=HOSTILE, news=tuple(replace(one, target=HOSTILE) for one in found.news), troubles=(row,))
    told = page(found)
    seen = Reader(told)
    assert not {"script", "img", "b"} & set(seen.tags)
    assert told.count("&lt;script&gt;") >= 4
    assert not re.search("[\u202e\x1b]", told + text(found))


def test_a_mail_has_no_long_lines_and_all_that_matters(small_store):
    told = text(crowd(small_store, 30, points_each=20))
    assert all(len(line) <= WIDTH for line in told.splitlines())
    assert told.isascii()
    for word in ("4 targets changed", "SIMULATED DATA", "CHANGED BRIGHTNESS", "OTHER NEW POINTS", "run 2"):
        assert word in told


def test_a_folder_has_a_page_a_day_the_newest_and_a_list(small_store, tmp_path):
    folder = tmp_path / "digests"
    folder.mkdir()
    night(small_store, {"S": ordinary()})
    write_day(small_store, folder, "2020-01-02")
    write_day(small_store, folder, TODAY)
    assert sorted(path.name for path in folder.iterdir()) == ["2020-01-02.html", f"{TODAY}.html", "index.html", "latest.html"]
    assert (folder / "latest.html").read_bytes() == (folder / f"{TODAY}.html").read_bytes()
    listed = (folder / "index.html").read_text()
    assert listed.index(f'href="{TODAY}.html"') < listed.index('href="2020-01-02.html"')
    assert "30 new points of 1 target" in listed
    assert ("a", "index.html") in Reader((folder / "latest.html").read_text()).targets


def test_the_command_tells_writes_and_keeps_silent(harvest, tmp_path):
    harvest("fetch --source ztf_dr --target 'RR Lyr' --until 2021-01-01 -q")
    harvest("fetch --source ztf_dr --target 'RR Lyr' -q")
    assert harvest("digest", emulate=False) == 0
    assert "RR Lyr" in harvest.out
    assert "as usual" in harvest.out
    assert harvest("digest --json", emulate=False) == 0
    assert [row["about"] for row in harvest.objects] == ["run", "target"]
    assert [change["filter"] for change in harvest.objects[1]["filters"]]
    assert harvest("digest -o d.html", emulate=False) == 0
    assert "<svg" in (tmp_path / "d.html").read_text()
    assert harvest("digest --text -o d.txt -q", emulate=False) == 0
    assert (harvest.out, harvest.err) == ("", "")
    assert (tmp_path / "d.txt").read_text().startswith("No target changed, ")
    assert harvest("digest -o d.png", emulate=False) == 2
    assert harvest("digest -o nowhere/d.html", emulate=False) == 1
    harvest("fetch --source ztf_dr --target 'RR Lyr' -q")
    assert harvest("digest -q", emulate=False) == 0
    assert (harvest.out, harvest.err) == ("", "")
    assert harvest("digest", emulate=False) == 0
    assert "nothing new" in harvest.out


def test_an_update_writes_the_digest_of_the_day_even_where_all_fails(update, tmp_path):
    follow(update, 3, "night")
    follow(update, 3, "other", reply=DOWN)
    assert update(f"update -q {BOTH} --digest {tmp_path}/new/digests") == 3
    told = (tmp_path / "new" / "digests" / f"{TODAY}.html").read_text()
    assert "30 new points of 3 targets" in told
    assert "unreachable" in told
    assert update(f"update --source night --digest {tmp_path}/new/digests") == 0
    assert (tmp_path / "new" / "digests" / "latest.html").read_text().count("<svg") == 3


def test_a_folder_that_cannot_be_written_is_said_before_anyone_is_asked(update, tmp_path):
    follow(update, 1, "night")
    (tmp_path / "file").write_text("")
    assert update(f"update --source night --digest {tmp_path}/file/digests") == 1
    assert "digests" in update.err
    assert update.sky.server.seen == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH; the tests above read the page without one")
@pytest.mark.parametrize(("width", "dark", "touch"), [(1280, False, False), (390, True, True)])
def test_a_browser_opens_the_page_without_a_request_or_a_complaint(small_store, tmp_path, width, dark, touch):
    file = tmp_path / "digest.html"
    file.write_text(page(crowd(small_store, 12, points_each=40), overview="index.html"))
    with Browser(width, 900, dark=dark, touch=touch) as browser:
        browser.open(file)
        assert browser.said == []
        assert [url for url in browser.asked if not url.startswith(("file:", "data:"))] == []
        assert len(browser.asked) <= 2
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.run("[...document.querySelectorAll('svg')].every(one => one.getBoundingClientRect().height > 60)")
        ground, ink = browser.run("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
        assert (sum(map(int, re.findall(r"\d+", ground))) < sum(map(int, re.findall(r"\d+", ink)))) == dark
        browser.picture(os.environ.get("HARVESTER_TEST_PICTURES", str(tmp_path)) + f"/digest-{width}.png")
