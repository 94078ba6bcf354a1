import hashlib
import io
import tarfile

import pytest

from harvester.alerts.archive.index import build, is_indexed, look_up
from harvester.alerts.archive.nights import checksums, file_of
from harvester.alerts.archive.tar import NightError, inflated, members, packets_of
from harvester.emulator.faults import Faults
from harvester.emulator.sky import Sky
from harvester.emulator.ztf_archive import NIGHTS, STUB, packets, tarball
from harvester.errors import Malformed, UsageError
from harvester.nights import ALL, FOLLOWED, Source, ingest
from harvester.payload import Payload
from harvester.store import Store
from harvester.store.nights import Nights
from harvester.target import Target

SEED = Sky().seed
NIGHT = "20240412"
FILE = f"ztf_public_{NIGHT}.tar.gz"


def source(body, name=FILE, md5=""):
    return Source(name, [body[place : place + 5000] for place in range(0, len(body), 5000)], url=f"https://archive/{name}", md5=md5)


def with_members(*bodies):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.USTAR_FORMAT) as tar:
        for number, body in enumerate(bodies):
            one = tarfile.TarInfo(f"{1000 + number}.avro")
            one.size = len(body)
            tar.addfile(one, io.BytesIO(body))
    return out.getvalue()


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "store.db", simulated=True) as opened:
        yield opened


@pytest.fixture
def night(tmp_path):
    path = tmp_path / FILE
    path.write_bytes(tarball(SEED, NIGHT))
    return path


def test_members_are_those_that_the_standard_library_finds(night):
    with tarfile.open(night) as tar:
        expected = [(one.name, one.offset_data, tar.extractfile(one).read()) for one in tar.getmembers()]
    assert [(one.name, one.offset, one.body) for one in packets_of(night)] == expected
    assert [(one.name, one.body) for one in packets_of(night, most=7)] == [(name, body[:7]) for name, _, body in expected]


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_night_that_was_cut_off_is_said_so(share):
    body = tarball(SEED, NIGHT)
    with pytest.raises(NightError, match="cut off"):
        list(members(inflated([body[: int(len(body) * share)]])))


@pytest.mark.parametrize("body", [b"<html>Down</html>", b"", b"\x1f\x8bnot really gzip"])
def test_what_is_no_gzip_is_no_night(body):
    with pytest.raises(NightError):
        list(members(inflated([body])))


def test_stubs_of_every_size_are_nights_without_alerts():
    out = io.BytesIO()
    tarfile.open(fileobj=out, mode="w:gz").close()
    for body in (tarball(SEED, STUB), out.getvalue(), with_members()):
        assert list(members(inflated([body]))) == []


def test_an_indexed_night_gives_every_alert_and_no_other(night):
    assert not is_indexed(night)
    assert build(night) == len(packets(SEED, NIGHT))
    assert is_indexed(night)
    for candid, body in packets(SEED, NIGHT):
        assert look_up(night, candid) == body
    assert look_up(night, 5) is None


def test_a_list_of_checksums_may_have_comments_and_folders():
    listed = Payload(b"# sums\n" + b"a" * 32 + b"  ./public/ztf_public_20250103.tar.gz\n\nnonsense\n")
    assert checksums(listed) == {"ztf_public_20250103.tar.gz": "a" * 32}


@pytest.mark.parametrize("said", ["2025-13-01", "yesterday", "20250140", "../x.tar.gz"])
def test_what_is_no_night_is_refused(said):
    with pytest.raises(UsageError, match="no night"):
        file_of(said)


def test_everything_of_a_night_goes_into_the_store_once(store):
    first = ingest(store, source(tarball(SEED, NIGHT)), ALL)
    assert (first.alerts, first.used, first.refused) == (len(packets(SEED, NIGHT)),) * 2 + (0,)
    assert first.points == sum(store.points().values()) > 100
    assert ingest(store, source(tarball(SEED, NIGHT)), ALL).points == 0
    assert sum(store.points().values()) == first.points


def test_the_order_of_nights_does_not_matter(tmp_path):
    stored = []
    for order in (("20240329", NIGHT), (NIGHT, "20240329")):
        with Store.open(tmp_path / f"{order[0]}.db", simulated=True) as store:
            for name in order:
                ingest(store, source(tarball(SEED, name), name=f"ztf_public_{name}.tar.gz"), ALL)
            names = sorted(store.points())
            stored.append([store.light_curve(name).drop_columns(["bjd_tdb", "quality", "flags"]).to_pylist() for name in names])
    assert stored[0] == stored[1]


def test_only_followed_targets_get_photometry_and_keep_their_packets(store):
    store.add_target(Target("RR Lyr", 291.36529, 42.78308))
    done = ingest(store, source(tarball(SEED, NIGHT)), FOLLOWED)
    assert (done.alerts, done.used) == (len(packets(SEED, NIGHT)), 1)
    assert list(store.points()) == ["RR Lyr"]
    from harvester.store import Chosen

    (kept,) = store.archive.listed(Chosen(None, ["ztf_alerts"]))
    assert store.archive.body(kept["sha256"])[2] in {body for _, body in packets(SEED, NIGHT)}


def test_a_corrupt_packet_becomes_a_dead_letter_and_the_rest_goes_on(store):
    good = [body for _, body in packets(SEED, NIGHT)]
    done = ingest(store, source(with_members(good[0], good[1][:-30], good[2])), ALL)
    assert (done.alerts, done.refused) == (3, 1)
    (letter,) = store.streams.letters("ztf_archive")
    assert "cut off or damaged" in letter["reason"]
    assert ingest(store, source(with_members(good[0], good[1][:-30], good[2])), ALL).refused == 1
    assert len(store.streams.letters("ztf_archive")) == 1


def test_a_night_that_breaks_off_stays_due_with_what_came_of_it(store):
    body = tarball(SEED, NIGHT)
    with pytest.raises(Malformed, match="cut off"):
        ingest(store, source(body[: len(body) // 2]), ALL)
    (row,) = Nights(store).listed()
    assert row["state"] == "due"
    assert "cut off" in row["trouble"]
    ingest(store, source(body), ALL)
    assert [row["state"] for row in Nights(store).listed()] == ["done"]


def test_a_night_with_another_checksum_stays_due(store):
    with pytest.raises(Malformed, match="MD5"):
        ingest(store, source(tarball(SEED, NIGHT), md5="0" * 32), ALL)
    assert [row["state"] for row in Nights(store).listed()] == ["due"]
    ingest(store, source(tarball(SEED, NIGHT), md5=hashlib.md5(tarball(SEED, NIGHT)).hexdigest()), ALL)
    assert [row["state"] for row in Nights(store).listed()] == ["done"]


def test_nights_are_listed_with_sizes(harvest):
    assert harvest("alerts archive list") == 0
    assert [row["date"].replace("-", "") for row in harvest.rows] == sorted(NIGHTS)
    assert all(int(row["size"]) > 0 for row in harvest.rows)


def test_a_night_is_fetched_checked_and_looked_through(harvest, tmp_path):
    folder = tmp_path / "nights"
    assert harvest(f"alerts archive get {NIGHT} --folder {folder} --index") == 0
    assert (folder / FILE).read_bytes() == tarball(SEED, NIGHT)
    assert not list(folder.glob("*.part"))
    assert harvest(f"alerts archive count {NIGHT} --folder {folder}") == 0
    assert harvest.rows[0]["alerts"] == str(len(packets(SEED, NIGHT)))
    candid = packets(SEED, NIGHT)[0][0]
    assert harvest(f"alerts archive find {NIGHT} --folder {folder} --candid {candid} --csv") == 0
    assert harvest.out.splitlines()[0] == "candid,ra,dec"
    assert harvest.out.splitlines()[1].startswith(f"{candid},")
    assert harvest(f"alerts archive show {candid} {NIGHT} --folder {folder} --json") == 0
    assert harvest.objects[0]["candid"] == candid
    assert harvest(f"alerts stamps --candid {candid} --night {NIGHT} --folder {folder} -o s.png") == 0


def test_a_download_goes_on_where_it_broke_off(harvest, tmp_path):
    folder = tmp_path / "nights"
    folder.mkdir()
    whole = tarball(SEED, NIGHT)
    (folder / f"{FILE}.part").write_bytes(whole[:100_000])
    assert harvest(f"alerts archive get {NIGHT} --folder {folder}") == 0
    assert (folder / FILE).read_bytes() == whole


def test_what_was_fetched_with_another_checksum_is_thrown_away(harvest, tmp_path):
    folder = tmp_path / "nights"
    folder.mkdir()
    (folder / f"{FILE}.part").write_bytes(b"\x1f\x8b" + b"x" * 5000)
    assert harvest(f"alerts archive get {NIGHT} --folder {folder}") == 1
    assert "MD5" in harvest.err
    assert not list(folder.iterdir())
    assert harvest(f"alerts archive get {NIGHT} --folder {folder}") == 0


def test_a_connection_that_breaks_in_the_middle_is_taken_up_again(harvest, emulator, tmp_path):
    emulator.faults = Faults.parse(["ztf_archive:truncated:0.5"])
    folder = tmp_path / "nights"
    for _ in range(3):
        if harvest(f"alerts archive get {NIGHT} --folder {folder}") == 0:
            break
    assert (folder / FILE).read_bytes() == tarball(SEED, NIGHT)


def test_a_missing_night_stays_due_and_a_stub_is_done(harvest):
    assert harvest(f"alerts archive ingest 2025-01-01 {STUB} --all") == 3
    assert "404" in harvest.err
    assert harvest("alerts archive list --local --json") == 0
    assert {row["name"][11:19]: row["store"] for row in harvest.objects} == {"20250101": "due (all)", STUB: "done (all)"}
    assert harvest("alerts archive ingest --due --all") == 1


def test_a_night_is_read_as_it_comes_and_its_photometry_can_be_exported(harvest):
    assert harvest(f"alerts archive ingest {NIGHT} --all") == 0
    assert int(harvest.rows[0]["points"]) > 100
    assert harvest(f"alerts archive ingest {NIGHT} --all") == 0
    assert harvest.rows[0]["state"] == "done before"
    assert harvest("db check") == 0
    assert harvest("payloads replay") in {0, 1, 3}


def test_scopes_exclude_one_another_and_cones_are_checked(harvest):
    assert harvest(f"alerts archive ingest {NIGHT} --all --followed") == 2
    assert harvest(f"alerts archive ingest {NIGHT} --cone 1,2") == 2
    assert harvest(f"alerts archive ingest {NIGHT} --cone 1,95,3") == 2
    assert harvest("alerts archive ingest") == 2
    assert harvest("alerts archive count 2031-01-01") == 2
    assert harvest("fetch --source ztf_alerts --target 'RR Lyr'") == 2


def test_a_cone_makes_targets_of_what_lies_in_it(harvest):
    assert harvest(f"alerts archive ingest {NIGHT} --cone 291.3663,42.7844,20") == 0
    assert harvest.rows[0]["used"] == "1"
    assert harvest("targets list --json") == 0
    assert len(harvest.objects) == 1
