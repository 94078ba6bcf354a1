"""Settings: flag > environment > ./harvester.toml > user configuration > default, frozen once read.

A secret is never in a configuration file: `token_file = "PATH"` names the file that holds it, or the environment does (HARVESTER_ATLAS_TOKEN).
"""

from __future__ import annotations

import math
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from harvester.errors import BadSettings

APP = "harvester"
PREFIX = "HARVESTER_"
TOP = {"store": str, "contact": str, "sources": dict, "services": dict}
KNOWN_VARIABLES = ("HARVESTER_STORE", "HARVESTER_CONTACT", "HARVESTER_CONFIG", "HARVESTER_LOG_FILE")
OF_TESTS = "HARVESTER_TEST_"
SECRETS = ("_token", "_password", "_user", "_key")
TEXTS = ("base_url", "servers")
OF_SERVICE = {"base_url": str, "servers": str, "radius": (int, float), "timeout": (int, float), "per_second": (int, float), "at_once": int}
FILE_OF = "_file"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the user says of one source or name service; None where the source's own value holds. `secrets` stay out of every representation."""

    base_url: str | None = None
    servers: str | None = None
    radius: float | None = None
    timeout: float | None = None
    per_second: float | None = None
    at_once: int | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. `store` is a path or a PostgreSQL URL; `origins` are the files that were read."""

    store: str
    contact: str = ""
    services: Mapping[str, ServiceSettings] = field(default_factory=dict)
    origins: tuple[str, ...] = ()
    doubts: tuple[tuple[str, ...], ...] = ()
    """What was set but means nothing, a message of a few lines each."""

    def service(self, name: str) -> ServiceSettings:
        """Return what is set for a source or name service; all defaults if nothing is."""
        return self.services.get(name, ServiceSettings())


def read_settings(
    *, store: str | None = None, config: str | None = None, simulated: bool = False, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings of this invocation. Raises BadSettings, naming the file and the key."""
    named = config or environ.get(f"{PREFIX}CONFIG")
    files = [Path(named).expanduser()] if named else [user_config(), Path("harvester.toml")]
    if named and not files[0].is_file():
        raise BadSettings(f"no configuration file '{named}'.", hint="An example to copy: configs/harvester.toml in the source tree.")
    merged: dict[str, Any] = {"services": {}}
    origins = [str(path) for path in files if path.is_file()]
    for origin in origins:
        _merge(merged, _read(Path(origin)), origin)
    _environment(merged, environ)
    named_store = store or environ.get(f"{PREFIX}STORE") or ("" if simulated else merged.get("store"))
    place = named_store or str(default_store(simulated=simulated))
    services = {name: _service(name, table) for name, table in merged["services"].items()}
    doubts = (*_doubts(environ), *_exposed(merged["services"]))
    return Settings(place, merged.get("contact", ""), services, tuple(origins), doubts)


def default_store(*, simulated: bool) -> Path:
    """Return where the store lies unless the user says otherwise; simulated data have a store of their own."""
    from platformdirs import user_data_path

    return user_data_path(APP) / ("simulated.db" if simulated else "harvest.db")


def user_config() -> Path:
    """Return the user's own configuration file, which need not exist."""
    from platformdirs import user_config_path

    return user_config_path(APP) / "harvester.toml"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{path}: {error}", hint="An example to copy: configs/harvester.toml in the source tree.") from error


def _merge(merged: dict[str, Any], table: Mapping[str, Any], origin: str) -> None:
    _check(table, TOP, origin, "")
    for part in ("sources", "services"):
        for name, entry in table.get(part, {}).items():
            _check(entry, OF_SERVICE, origin, f"{part}.{name}.")
            merged["services"].setdefault(name, {}).update(entry)
    merged.update({key: value for key, value in table.items() if key in ("store", "contact")})


def _check(table: Any, known: Mapping[str, Any], origin: str, where: str) -> None:
    if not isinstance(table, Mapping):
        raise BadSettings(f"{origin}: '{where.rstrip('.')}' is not a table.")
    for key, value in table.items():
        if key.endswith(FILE_OF) and isinstance(value, str) and where:
            continue
        if key not in known:
            near = get_close_matches(key, known, n=1)
            secret = (
                "A secret stands in a file of its own ('token_file = ...') or in the environment."
                if where
                else f"Known: {', '.join(known)}."
            )
            raise BadSettings(f"{origin}: unknown setting '{where}{key}'.", f"Did you mean '{near[0]}'?" if near else "", secret)
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise BadSettings(f"{origin}: '{where}{key}' cannot be {value!r}.")


def _environment(merged: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Read HARVESTER_STORE, HARVESTER_CONTACT, and HARVESTER_<SERVICE>_<KEY>; any other key of a service is a secret."""
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or not value:
            continue
        words = variable.removeprefix(PREFIX).lower()
        if words in ("store", "contact"):
            merged[words] = value
            continue
        service, key = service_and_key(variable)
        if key in OF_SERVICE:
            merged["services"].setdefault(service, {})[key] = value if key in TEXTS else _number(variable, value)
        elif key:
            merged["services"].setdefault(service, {}).setdefault("secrets", {})[key] = value.strip()


def service_and_key(variable: str) -> tuple[str, str]:
    """Return which setting or secret of which service a variable is: ("tns", "api_key") for HARVESTER_TNS_API_KEY; two empty words for none.

    Of a source that is registered it may have any name, of another service it ends as settings or SECRETS do.
    """
    from harvester.source import registered

    if not variable.startswith(PREFIX):
        return "", ""
    words = variable.removeprefix(PREFIX).lower()
    service = max((name for name in registered() if words.startswith(f"{name}_")), key=len, default="")
    if service:
        return service, words.removeprefix(f"{service}_")
    key = next((key for key in OF_SERVICE if words.endswith(f"_{key}")), words.rpartition("_")[2] if words.endswith(SECRETS) else "")
    return (words.removesuffix(f"_{key}"), key) if key else ("", "")


def is_secret(variable: str) -> bool:
    """Whether a variable is the secret of a service."""
    _, key = service_and_key(variable)
    return bool(key) and key not in OF_SERVICE


def _number(variable: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise BadSettings(f"{variable}: '{value}' is not a number.") from error


def _doubts(environ: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield a message for each variable that is ours by its name and means nothing."""
    for variable in sorted(environ):
        ours = variable.startswith(PREFIX) and not variable.startswith(OF_TESTS)
        if ours and variable not in KNOWN_VARIABLES and not service_and_key(variable)[1]:
            near = get_close_matches(variable, KNOWN_VARIABLES, n=1)
            yield (f"{variable} means nothing.", f"Did you mean {near[0]}?" if near else "", "See configs/harvester.toml.")


def _exposed(services: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield a message for each file of a secret that others on this machine may read."""
    for name, table in services.items():
        for key, path in table.items():
            if key.endswith(FILE_OF) and os.name == "posix" and Path(path).expanduser().stat().st_mode & stat.S_IRWXO:
                yield (f"{name}: others on this machine may read the secret in '{path}'.", f"Keep them out: chmod 600 {path}")


def _checked(name: str, key: str, value: Any) -> Any:
    """Return a number that makes sense. Raises BadSettings."""
    whole = key != "at_once" or (isinstance(value, int | float) and float(value).is_integer())
    if value is not None and not (math.isfinite(value) and value > 0 and whole):
        raise BadSettings(f"'{key}' of {name} cannot be {value!r}.", "It is a number above 0, at_once a whole one.")
    return int(value) if key == "at_once" and value is not None else value


def _service(name: str, table: Mapping[str, Any]) -> ServiceSettings:
    secrets = dict(table.get("secrets", {}))
    for key, path in table.items():
        if key.endswith(FILE_OF):
            secrets.setdefault(key.removesuffix(FILE_OF), _secret(name, path))
    numbers = {key: _checked(name, key, table.get(key)) for key in OF_SERVICE if key not in TEXTS}
    return ServiceSettings(**{key: table.get(key) for key in TEXTS}, **numbers, secrets=secrets)


def _secret(name: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{name}: the secret's file '{path}' cannot be read.", type(error).__name__) from error
