"""`harvest explain`: one point, walked back to the bytes that it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.choice import selection, stored_target
from harvester.cli.options import JD_OF_MJD, App, as_mjd, define

if TYPE_CHECKING:
    from harvester.store import Store

QUALITIES = ("good", "suspect", "bad")
SECONDS_PER_DAY = 86_400


@define("explain")
@click.option("--target", "-t", required=True, metavar="NAME")
@click.option("--filter", "name", required=True, metavar="NAME", help="Such as 'g(ZTF_DR)'.")
@click.option("--near", required=True, callback=as_mjd, metavar="DATE|MJD|BJD", help="The point nearest to this moment.")
def command(app: App, /, target: str, name: str, near: float) -> None:
    """Say where one point comes from: values, versions, run, request, payload, cuts, and how its time was converted.

    \b
    harvest explain --target "RR Lyr" --filter "G(GAIA_DR3)" --near 2015-06-01
    """  # noqa: D301 - \b is click's
    store = app.store()
    selection(store, (), (), (name,))
    told = store.past.explained(stored_target(store, target).name, name, near + JD_OF_MJD)
    told |= {"cuts": _cuts(told["point"]), "time": _time(told["point"], store)}
    if app.json:
        render.objects([told])
    else:
        render.facts([*_of_the_point(told), *_of_its_origin(told)])


def _cuts(point: dict[str, Any]) -> dict[str, Any]:
    return {"quality": point["quality"], "means": QUALITIES[point["quality"]], "flags": point["flags"]}


def _time(point: dict[str, Any], store: Store) -> dict[str, Any]:
    """Return how the survey's time became BJD_TDB; without the system where its source is not installed any more."""
    from harvester.light_curves import knowledge
    from harvester.schema import parts

    system = knowledge(store, [point["target"]]).time_system(point["source"], parts(point["filter"])[1])
    known = {"time": point["time"], "bjd_tdb": point["bjd_tdb"], "exptime": point["exptime"]}
    if system is None:
        return known | {"system": None, "difference_s": None}
    middle = (point["exptime"] or 0.0) / 2 if system.stamp == "start" else 0.0
    difference = point["bjd_tdb"] and (point["bjd_tdb"] - point["time"] - system.jd_offset) * SECONDS_PER_DAY
    return known | {"system": system.describe(), "to_middle_s": middle, "difference_s": difference}


def _of_the_point(told: dict[str, Any]) -> list[tuple[str, Any]]:
    point, cuts, time = told["point"], told["cuts"], told["time"]
    values = [f"{key} {point[key]}" for key in ("mag", "mag_err", "flux", "flux_err", "limiting_mag") if point[key] is not None]
    converted = f"{time['bjd_tdb']} = {time['time']}"
    if time["system"]:
        converted += f" in {time['system']}\n{time['difference_s'] or 0:+.3f} s in all: scale, light travel time to the barycentre"
        converted += f", {time['to_middle_s']:+.1f} s to the middle of the exposure" if time["to_middle_s"] else ""
    return [
        ("point", f"{point['target']}, {point['filter']}, observation {point['observation_id']} of object {point['object_id']}"),
        ("values", ", ".join(values) + (" (upper limit)" if point["upper_limit"] else "")),
        ("BJD_TDB", converted),
        ("cuts", f"quality {cuts['quality']} ({cuts['means']})" + (f" from the survey's flags: {cuts['flags']}" if cuts["flags"] else "")),
        ("versions", "\n".join(_version(one) for one in told["versions"]) or "never revised"),
    ]


def _version(one: dict[str, Any]) -> str:
    values = ", ".join(f"{name} {one['old'][name]} -> {one['new'][name]}" for name in one["old"])
    return f"run {one['run_id']} to run {one['replaced_by_run']} ({one['replaced_at']}): {values or 'the same values'}"


def _of_its_origin(told: dict[str, Any]) -> list[tuple[str, Any]]:
    run, visit, payload = told["run"], told["visit"], told["payload"]
    by = f" by {visit['source_version']}" if visit and visit["source_version"] else ""
    asked = [f"{one['time']} (run {one['run_id']}) {one['url']}{_form(one)}" for one in told["requests"]]
    kept = "" if payload is None or payload["kept"] else ", pruned"
    return [
        ("run", f"{run['id']}, {run['started']}, harvester {run['version']}: harvest {run['command']}"),
        ("source", f"{told['point']['source']}{by}" + (f", radius {visit['radius']} arcsec" if visit and visit["radius"] else "")),
        ("request", "\n".join(asked) or "none on record"),
        ("payload", f"sha256 {payload['sha256']}, {payload['size']} bytes{kept}" if payload else "none on record"),
    ]


def _form(request: dict[str, Any]) -> str:
    """Return the form that was sent; what stands in the URL is not said again."""
    return "" if "?" in request["url"] else "".join(f" {name}={value}" for name, value in request["params"].items())
