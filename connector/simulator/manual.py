"""Owns the JSON of control: reads faults and request bodies, and describes them from their own classes.

Knows nothing of HTTP: `GET /control/` and docs/simulator.md show these descriptions.
"""

import json
from typing import Any, get_args

import msgspec
from msgspec import inspect

from connector.simulator.batch.faults import BATCH_FAULTS, BatchFault
from connector.simulator.faults import AnswerFault, BaseFault, DeliveryFault, EmissionFault, Fault

FAULTS: dict[str, type[BaseFault]] = {
    str(kind.__struct_config__.tag): kind for kind in (*get_args(Fault), *BATCH_FAULTS)
}
"""The class of each kind, in the order of their definition."""

FAMILIES: dict[str, type[BaseFault]] = {
    "delivery": DeliveryFault,
    "answer": AnswerFault,
    "emission": EmissionFault,
    "batch": BatchFault,
}


class FieldDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field of a JSON object; `default` is what a missing one means, as JSON, and is absent when it is required."""

    name: str
    type: str
    default: msgspec.Raw | None = None
    meaning: str | None = None

    @property
    def default_text(self) -> str:
        """The default as JSON; empty when the field is required."""
        return bytes(self.default).decode() if self.default is not None else ""


_KIND = FieldDescription("kind", "text", meaning="A kind of fault; it decides what other fields there are.")


class FaultDescription(msgspec.Struct, frozen=True):
    """A fault: its `kind`, the family that says when it happens, what it does, and its fields."""

    kind: str
    family: str
    meaning: str
    fields: list[FieldDescription]


def read_fault(text: bytes) -> BaseFault:
    """Return the fault that the JSON describes. Raises `ValueError` naming the kinds, or the fields of the kind."""
    given = read(text, Any)
    kind = given.get("kind") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in FAULTS:
        raise ValueError(no_such_fault(kind))
    fault: BaseFault = read(text, FAULTS[kind])
    return fault


def no_such_fault(kind: object) -> str:
    """Return the sentence that names the faults there are."""
    problem = "`kind` is missing" if kind is None else f"there is no fault {kind!r}"
    return f"{problem}; `kind` is one of {', '.join(FAULTS)}"


def read(text: bytes, kind: Any) -> Any:  # noqa: ANN401 - the type given is the type returned
    """Return the struct that the JSON describes. Raises `ValueError` naming its fields when it does not fit."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        fields = ", ".join(f"{field.name} ({field.type})" for field in describe_fields(kind)) or "none"
        raise ValueError(f"{error}; the fields are {fields}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"not JSON: {error}") from error


def meaning(documented: object) -> str:
    """Return the docstring as one line."""
    return " ".join((documented.__doc__ or "").split())


def describe_fields(kind: Any) -> list[FieldDescription]:  # noqa: ANN401 - a struct or a dataclass
    """Return the fields of a struct or a dataclass; of a fault of any kind, those that all have."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType | inspect.DataclassType)  # noqa: S101 - there is nothing else here
    fields = [_describe_field(field) for field in described.fields]
    return [_KIND, *fields] if kind is BaseFault else fields


def describe_faults() -> list[FaultDescription]:
    """Return every fault, in the order of their definition."""
    return [
        FaultDescription(kind, _family(fault), meaning(fault), describe_fields(fault)) for kind, fault in FAULTS.items()
    ]


def describe_families() -> dict[str, str]:
    """Return what the faults of each family have in common, and of all."""
    return {"all": meaning(BaseFault)} | {name: meaning(family) for name, family in FAMILIES.items()}


def _family(fault: type[BaseFault]) -> str:
    return next(name for name, family in FAMILIES.items() if issubclass(fault, family))


def _describe_field(field: inspect.Field) -> FieldDescription:
    described, text = field.type, None
    if isinstance(described, inspect.Metadata):
        text = (described.extra_json_schema or {}).get("description")
        described = described.type
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory
    if default is field.default_factory and default is not msgspec.NODEFAULT:
        default = field.default_factory()
    raw = None if default is msgspec.NODEFAULT else msgspec.Raw(msgspec.json.encode(default))
    return FieldDescription(field.encode_name, _type_text(described), raw, text)


_WORDS: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.BytesType: "base64",
    inspect.BoolType: "true or false",
    inspect.NoneType: "null",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
}


def _type_text(described: inspect.Type) -> str:  # noqa: PLR0911 - one for each type there is
    match described:
        case inspect.Metadata():
            return _type_text(described.type)
        case inspect.UnionType():
            return " or ".join(sorted(map(_type_text, described.types), key=lambda text: text == "null"))
        case inspect.LiteralType():
            return " or ".join(sorted(map(json.dumps, described.values)))
        case inspect.VarTupleType():
            return f"array of {_type_text(described.item_type)}"
        case inspect.DictType():
            return f"object of {_type_text(described.value_type)}"
        case inspect.IntType() | inspect.FloatType():
            return _WORDS[type(described)] + _bounds_text(described)
    return _WORDS[type(described)]


def _bounds_text(described: inspect.IntType | inspect.FloatType) -> str:
    bounds = {"≥": described.ge, ">": described.gt, "≤": described.le, "<": described.lt}
    given = [f"{sign} {bound}" for sign, bound in bounds.items() if bound is not None]
    return f" {' and '.join(given)}" if given else ""
