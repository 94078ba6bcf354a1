"""VOEvent: the id of an event, what it is, and where and when it was seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from harvester.alerts.streams.message import Unreadable


def event(text: bytes) -> Mapping[str, Any]:
    """Return id, role, ra, dec (ICRS or FK5 deg, None where it has none), time (ISO) and the parameters. Raises Unreadable."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise Unreadable("a VOEvent with definitions of its own is not read")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without definitions there is nothing to expand
    except ET.ParseError as error:
        raise Unreadable(f"the VOEvent is broken or cut off ({error})") from error
    if not root.tag.endswith("VOEvent") or not root.get("ivorn"):
        raise Unreadable(f"expected a VOEvent, received an XML document '{root.tag[:60]}'")
    told = {str(param.get("name")): param.get("value") for param in root.iter("Param")}
    time = next((node.text for node in root.iter("ISOTime")), None)
    return {**told, "ivorn": root.get("ivorn"), "role": root.get("role"), "ra": _angle(root, "C1"), "dec": _angle(root, "C2"), "time": time}


def _angle(root: ET.Element, name: str) -> float | None:
    found = next((node.text for node in root.iter(name)), None)
    try:
        return None if found is None else float(found)
    except ValueError:
        return None
