"""Members of a JSON object that others wrote: of the kind asked for, or as if they were missing."""

from collections.abc import Mapping


def text_of(value: Mapping[str, object], name: str) -> str:
    """A member's text; empty if it is none."""
    text = value.get(name)
    return text if isinstance(text, str) else ""


def object_of(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    """An object in it; empty if it is none."""
    inner = value.get(name)
    return inner if isinstance(inner, Mapping) else {}


def objects_of(value: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    """The objects of a list in it, without what else the list holds."""
    items = value.get(name)
    return [x for x in items if isinstance(x, Mapping)] if isinstance(items, list) else []
