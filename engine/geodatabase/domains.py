"""Which values a field may have, as the layer says; subtypes may say it differently."""

from collections.abc import Mapping

from engine.layer_schema import Domain, Field, LayerSchema
from engine.values import WireValue

_SHOWN_CODES = 12


def domain_of(layer: LayerSchema, field: Field, attributes: Mapping[str, object]) -> Domain | None:
    """The domain of ``field`` for a feature with these (wire) attributes.

    A layer with types (subtypes) may give a field another domain for each of them (ArcGIS REST
    API, "Layer": ``typeIdField``, ``types``).
    """
    type_field = layer.resource.get("typeIdField")
    types = layer.resource.get("types")
    if not isinstance(type_field, str) or not isinstance(types, list):
        return field.domain
    present = next(
        (v for name, v in attributes.items() if name.casefold() == type_field.casefold()), None
    )
    for item in types:
        if isinstance(item, dict) and item.get("id") == present:
            domains = item.get("domains")
            own = domains.get(field.name) if isinstance(domains, dict) else None
            if isinstance(own, dict) and own.get("type") != "inherited":
                return Domain.from_json(own)
    return field.domain


def refusal(domain: Domain, value: WireValue) -> str | None:
    """Why ``value`` is outside ``domain``, and what is inside; None if it is inside."""
    if value is None:
        return None
    if domain.range is not None:
        low, high = domain.range
        if isinstance(value, int | float) and low <= value <= high:
            return None
        return f"{value!r} is not between {low} and {high}"
    if not domain.codes or any(code == value for code, _ in domain.codes):
        return None
    shown = [f"{code!r} ({name})" for code, name in domain.codes[:_SHOWN_CODES]]
    more = len(domain.codes) - len(shown)
    if more:
        shown.append(f"{more} more")
    return f"{value!r} is none of {', '.join(shown)}"
