"""Types of the wire to JSON Schema, draft 2020-12, which OpenAPI 3.1 uses."""

import inspect
import types
from dataclasses import MISSING, fields, is_dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from stream.rules import Rule

Schema = dict[str, Any]
PLAIN: dict[Any, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    dict[str, Any]: {"type": "object"},
}


class Schemas:
    """Makes schemas; an object's stands once under its class's name in :attr:`named`, and is referred to.

    >>> Schemas().of(int | None)
    {'anyOf': [{'type': 'integer'}, {'type': 'null'}]}
    """

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}

    def of(self, annotation: Any) -> Schema:
        """Give the schema of a type. Raises TypeError for one that has none."""
        if annotation in PLAIN:
            return dict(PLAIN[annotation])
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            rule: Rule = arguments[1]
            return dict(rule.schema)
        if origin is Literal:
            return {"const": arguments[0]} if len(arguments) == 1 else {"type": "string", "enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if origin is list:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is tuple:
            size = len(arguments)
            return {"type": "array", "items": self.of(arguments[0]), "minItems": size, "maxItems": size}
        if is_dataclass(annotation) or is_typeddict(annotation):
            return self._refer(annotation)
        raise TypeError(f"no schema for {annotation!r}")

    def _refer(self, cls: Any) -> Schema:
        name = cls.__name__
        if name not in self.named:
            self.named[name] = {}
            members = self._members_of_dataclass(cls) if is_dataclass(cls) else self._members_of_dict(cls)
            kind = getattr(cls, "type", None)
            if isinstance(kind, str):
                members = {"type": ({"const": kind}, True), **members}
            self.named[name] = {
                "title": name,
                "description": " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].replace("``", "`").split()),
                "type": "object",
                "properties": {member: schema for member, (schema, _) in members.items()},
                "required": [member for member, (_, required) in members.items() if required],
            }
        return {"$ref": f"#/components/schemas/{name}"}

    def _members_of_dataclass(self, cls: Any) -> dict[str, tuple[Schema, bool]]:
        members = {}
        for member in fields(cls):
            schema = self.of(member.type)
            if member.default not in (MISSING, None):
                schema["default"] = member.default
            members[member.name] = (schema, member.default is MISSING)
        return members

    def _members_of_dict(self, cls: Any) -> dict[str, tuple[Schema, bool]]:
        members = {}
        hints = get_type_hints(cls, include_extras=True)
        for name in sorted(hints, key=lambda name: name != "type"):
            required = get_origin(hints[name]) is not NotRequired
            plain = hints[name] if required else get_args(hints[name])[0]
            members[name] = (self.of(plain), required)
        return members
