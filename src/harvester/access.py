"""Access: how the engine reaches a source, as its declarations and the settings have it: address, pace, timeout, credentials, remote jobs."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harvester.errors import BadSettings, BrokenSource, Refused, Unfinished
from harvester.jobs import ShortMemory
from harvester.logs import hide
from harvester.session import Client, Credentials, Errand, Service, Session
from harvester.source import Pace, Source, load, registered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harvester.alerts.broker import Broker
    from harvester.config import Settings
    from harvester.jobs import Jobs
    from harvester.source import Credential, Query

PLACEHOLDER = "nothing-to-a-simulation"
BASIC = "Basic "


def session_for(
    name: str,
    source: Source | Broker,
    client: Client,
    settings: Settings,
    *,
    query: Query | None = None,
    jobs: Jobs | None = None,
    errand: type[Errand] = Errand,
) -> Session:
    """Return the source's own view of the client. `jobs` remembers the remote jobs of `query` beyond this process, `errand` sees to them.

    Raises Refused when the source needs credentials that the settings do not have (a simulated service takes any), Unfinished for one that is
    still to be written.
    """
    if isinstance(source, Source) and not source.is_finished:
        raise unfinished(name)
    own = settings.service(name)
    pace = Pace(own.per_second or source.pace.per_second, own.at_once or source.pace.at_once)
    shown = credentials(name, source.credentials, own.secrets, simulated=client.loopback_only)
    service = Service(
        name,
        own.base_url or source.base_url,
        pace,
        source.base_url,
        timeout_s=own.timeout or source.timeout,
        credentials=shown,
        remedy=remedy(name, source),
        plain_http=source.plain_http,
    )
    return client.session(service, errand(jobs or ShortMemory(), name, query) if query else None)


def credentials(name: str, wanted: tuple[Credential, ...], secrets: Mapping[str, str], *, simulated: bool) -> Credentials:
    """Return what a source shows, made of the user's secrets; a simulation is shown none of them. Raises Refused if one is missing."""
    hide.learn(secrets.values())
    if simulated:
        secrets = {secret: PLACEHOLDER for one in wanted for secret in one.secrets}
    for one in wanted:
        if lacking := [secret for secret in one.secrets if not secrets.get(secret)]:
            raise Refused(f"{name} needs a {' and a '.join(lacking)}, and the settings have none.", one.how, where_to_put(name, lacking))
    values = {one: _written(one.value, secrets) for one in wanted}
    headers = {one.header: value for one, value in values.items() if one.header}
    params = {one.param: value for one, value in values.items() if one.param}
    fields = {one.field: value for one, value in values.items() if one.field}
    try:
        return Credentials(headers, params, fields, tuple(secrets.values()))
    except BadSettings as error:  # the other sources go on
        raise Refused(f"{name}: {error.what}", error.why, where_to_put(name, [*secrets])) from error


@dataclass(frozen=True, slots=True)
class Askable:
    """The registered sources: `names` that can be asked, and those that are left out, and why."""

    names: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    without_credentials: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    broken: list[BrokenSource] = field(default_factory=list)


def askable(settings: Settings, *, simulated: bool) -> Askable:
    """Return which sources can be asked: not broken, not retired, with their credentials; a simulation takes any."""
    found = Askable()
    for name in registered():
        try:
            source = load(name)
        except BrokenSource as error:
            found.broken.append(error)
            continue
        if not source.takes:  # it is never asked about a target
            continue
        bare = not simulated and missing(name, source, settings)
        able = found.names if source.is_finished else found.unfinished
        (found.retired if source.retired else found.without_credentials if bare else able).append(name)
    return found


def missing(name: str, source: Source | Broker, settings: Settings) -> list[str]:
    """Return the secrets that a source needs and the settings do not have."""
    held = settings.service(name).secrets
    return list(dict.fromkeys(secret for one in source.credentials for secret in one.secrets if not held.get(secret)))


def unfinished(name: str) -> Unfinished:
    """Return the error of a source that is still to be written."""
    what = f"source '{name}' is not finished: the head of its file, or cite, still says TODO."
    return Unfinished(what, "Nobody was asked.", "Write what is true of the service in place of each TODO; README tells how.")


def remedy(name: str, source: Source | Broker) -> str:
    """Return what to do when the service refuses the credentials, empty where it needs none."""
    if not source.credentials:
        return f"{name} needs no credentials: the service may keep this network or program out."
    secrets = [secret for one in source.credentials for secret in one.secrets]
    return f"Renew it. {source.credentials[0].how} {where_to_put(name, secrets)}"


def where_to_put(name: str, secrets: list[str]) -> str:
    """Return how a secret is told to harvester."""
    variables = " and ".join(f"HARVESTER_{name}_{secret}".upper() for secret in secrets)
    files = ", ".join(f'{secret}_file = "PATH"' for secret in secrets)
    return f"Set {variables}, or {files} below [sources.{name}] in harvester.toml."


def _written(value: str, secrets: Mapping[str, str]) -> str:
    """Fill the secrets into what is sent; user and password of Basic authentication are sent in base 64."""
    filled = value.format_map(secrets)
    return f"{BASIC}{base64.b64encode(filled.removeprefix(BASIC).encode()).decode()}" if filled.startswith(BASIC) else filled
