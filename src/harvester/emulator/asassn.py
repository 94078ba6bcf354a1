"""ASAS-SN Sky Patrol v2: a catalogue server and light curve servers, plain HTTP on port 9006, which answer in Parquet whatever they are asked for.

A light curve server answers only what the catalogue server was asked before, with `download` true; the question stands in its path, in base 64.
"""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator.app import Request, Response
from harvester.emulator.asassn_cameras import CATALOGUE_YEAR, EPOCH, epochs, star_id
from harvester.emulator.stars import famous, position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harvester.emulator.stars import Star

NAME = "asassn"
PORT = 9006
CATALOGUE_HOST = f"asassn-lb01.ifa.hawaii.edu:{PORT}"
BLOCK_SERVERS = ("asassn-data01.ifa.hawaii.edu", "asassn-data02.ifa.hawaii.edu")
HOSTS = (CATALOGUE_HOST, *(f"{server}:{PORT}" for server in BLOCK_SERVERS))
COLUMNS = ("asas_sn_id", "ra_deg", "dec_deg", "catalog_sources")
SCHEMA = {"master_list": {"col_names": list(COLUMNS), "dtypes": ["bigint", "double", "double", "array<string>"]}}
CONTROL = 12702  # VX Men
CONTROL_PLACE = (84.36, -73.46)
SERVED = ("asas_sn_id", "jd", "flux", "flux_err", "mag", "mag_err", "limit", "fwhm", "image_id", "camera", "quality")
FAINTEST = 18.5
CONE = re.compile(r"radius(?P<radius>[\d.e+-]+)_ra(?P<ra>[\d.e+-]+)_dec(?P<dec>[\d.e+-]+)")
BLOCK = re.compile(r"query_hash-(?P<hash>.*)-block_idx-(?P<index>\d+)-catalog-(?P<catalog>\w+)", re.DOTALL)
ASKED_CONE = re.compile(r"conectr-(.+?)_conera-(.+?)_conedec-(-?.+?)\|catalog-(\w+)\|cols-(.+)")


def _json(value: Any) -> Response:
    return Response(json.dumps(value).encode(), "application/json")


def _parquet(columns: dict[str, Iterable[Any]]) -> Response:
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return Response(file.getvalue(), "application/octet-stream")


def lookup_cone(request: Request) -> Response:
    """List the catalogue's stars in a cone; with `download`, keep the question for the light curve servers."""
    asked, found = _body(request), CONE.fullmatch(request.tail)
    if found is None or asked is None:
        return Response(b"Bad Request", status=400)
    stars = _near(request, *(float(found[name]) for name in ("ra", "dec", "radius")))
    if asked["download"]:
        name = f"conectr-{found['radius']}_conera-{found['ra']}_conedec-{found['dec']}"
        request.memory[f"{name}|catalog-{asked['catalog']}|cols-{'/'.join(asked['cols'])}"] = [star.gaia_id for star in stars]
    return _parquet(_listed(asked["cols"], [(star_id(star), *_place(star)) for star in stars]))


def lookup_targets(request: Request) -> Response:
    """List the stars of some numbers: the famous ones, and the one that serves as control."""
    asked = _body(request)
    if asked is None or request.tail != "catalog_list":
        return Response(b"Bad Request", status=400)
    known = {star_id(star): _place(star) for star in famous()} | {CONTROL: CONTROL_PLACE}
    return _parquet(_listed(asked["cols"], [(number, *known[number]) for number in map(int, asked["tar_ids"]) if number in known]))


def get_block(request: Request) -> Response:
    """Serve the light curves of a question that the catalogue server was asked; nothing of another."""
    found = BLOCK.fullmatch(request.tail)
    asked = b64decode(found["hash"]).decode() if found else ""
    ids = request.memory.get(asked)
    if found is None or ids is None:
        return Response(b"Internal Server Error", status=500)
    stars = [star for star in map(request.sky.by_gaia_id, ids[1000 * int(found["index"]) :][:1000]) if star]
    parts = [(star_id(star), epochs(request.sky.seed, star)) for star in stars]
    rows = np.concatenate([np.empty(0, EPOCH), *(part for _, part in parts)])
    numbers = np.concatenate([np.empty(0, np.int64), *(np.full(len(part), number) for number, part in parts)])
    return _parquet({name: numbers if name == "asas_sn_id" else rows[name].tolist() for name in SERVED})


def _body(request: Request) -> dict[str, Any] | None:
    """Return the JSON that every look-up must bring, None for anything else."""
    try:
        asked: dict[str, Any] = json.loads(request.body)
    except ValueError:
        return None
    wanted = {"catalog", "cols", "format", "download"}
    return asked if wanted <= asked.keys() and set(asked["cols"]) <= set(COLUMNS) and asked["catalog"] in SCHEMA else None


def _near(request: Request, ra: float, dec: float, radius: float) -> list[Star]:
    stars = request.sky.stars_near(ra, dec, radius, epoch=CATALOGUE_YEAR)
    return [star for star in stars if star.mean["g"] - star.amplitude <= FAINTEST and star.kind != "supernova"]


def _place(star: Star) -> tuple[float, float]:
    ra, dec = position(star, CATALOGUE_YEAR)
    return float(ra), float(dec)


def _listed(columns: list[str], stars: list[tuple[int, float, float]]) -> dict[str, Iterable[Any]]:
    numbers, ras, decs = zip(*stars, strict=True) if stars else ((), (), ())
    held = {"asas_sn_id": np.array(numbers, np.int64), "ra_deg": np.array(ras, float), "dec_deg": np.array(decs, float)}
    return {name: held.get(name, [["stellar_main"]] * len(stars)) for name in columns}


def _says(value: Any) -> Callable[[Request], Response]:
    return lambda _: _json(value)


ROUTES = {
    "/get_current_message": _says("This is the simulated sky."),
    "/get_schema": _says(SCHEMA),
    "/get_counts": _says({"master_list": 106_000_000}),
    "/get_block_servers": _says(BLOCK_SERVERS),
    "/lookup_cone/*": lookup_cone,
    "/lookup_targets/*": lookup_targets,
    "/get_block/*": get_block,
}
METHODS = {"/lookup_cone/*": ("POST",), "/lookup_targets/*": ("POST",)}
