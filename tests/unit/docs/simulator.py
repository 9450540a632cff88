"""What is generated of `docs/simulator.md`: from the settings' class, the command, the endpoints and the faults."""

from collections.abc import Iterable, Iterator

import typer.main

from connector.cli import app
from connector.simulator import control
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import BaseFault
from connector.simulator.manual import FAMILIES, FieldDescription, describe_faults, describe_fields, meaning

SETTINGS = ("setting", "type", "default", "meaning", "option of `connector simulate`")
ENDPOINTS = ("endpoint", "what it does", "fields")
FAULTS = ("kind", "what happens", "fields")


def settings() -> Iterator[tuple[str, ...]]:
    """Yield each setting, with the option that sets it and the option's own default where that differs."""
    options = {option.name: option for option in typer.main.get_group(app).commands["simulate"].params}
    for field in describe_fields(SimulatorConfig):
        option = options.get(field.name)
        default = getattr(SimulatorConfig(), field.name)
        differs = option is not None and option.default != default
        yield (
            f"`{field.name}`",
            field.type,
            f"`{field.default_text}`",
            field.meaning or "",
            (f"`{option.opts[0]}`" + (f", by default `{option.default}`" if differs else "")) if option else "",
        )


def endpoints() -> Iterator[tuple[str, ...]]:
    """Yield each control endpoint."""
    for endpoint in control.ENDPOINTS:
        described = endpoint.describe()
        yield f"`{described.method} {described.path}`", described.meaning, _fields(described.fields)


def common(family: str) -> str:
    """Return what the faults of a family have in common, beyond what all have."""
    known = {field.name for field in describe_fields(BaseFault)}
    own = [field for field in describe_fields(FAMILIES[family]) if field.name not in known]
    return f"{meaning(FAMILIES[family])} {f'Fields of all: {_fields(own)}.' if own else ''}".strip()


def faults(family: str) -> Iterator[tuple[str, ...]]:
    """Yield the faults of a family, with the fields that are not those of all in it."""
    known = {field.name for field in describe_fields(FAMILIES[family])}
    for fault in describe_faults():
        if fault.family == family:
            own = [field for field in fault.fields if field.name not in known]
            yield f"`{fault.kind}`", fault.meaning, _fields(own)


def _fields(fields: Iterable[FieldDescription]) -> str:
    return "; ".join(
        f"`{field.name}`: {field.type}" + (f" (`{field.default_text}`)" if field.default_text else ", required")
        for field in fields
    )
