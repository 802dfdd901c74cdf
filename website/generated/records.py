"""The page of the record schema, read from the JSON Schema that the program prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from generated.text import cell, code, table
from wsolbench.records import record_schema


def page() -> str:
    """Return the page."""
    schema = json.loads(record_schema())
    parts = [_object("ResultRecord", "record", schema)]
    parts += [_object(name, name, schema["$defs"][name]) for name in sorted(schema["$defs"])]
    return "\n".join(
        [
            "# Record schema",
            "",
            "A run writes for each method `record-METHOD.json`, the summary that is described here, and",
            "`record-METHOD.outcomes.json.gz`, the outcome of every image. `wsolbench schema` prints the JSON Schema",
            "that this page is made from, and `wsolbench.load_record` reads both files.",
            "[What is verified, and what is claimed](../leaderboard.md#what-is-verified-and-what-is-claimed).",
            "",
            *parts,
        ]
    )


def _object(title: str, anchor: str, schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (code(name), _type(field), "yes" if name in required else "", cell(field.get("description", "")))
        for name, field in schema.get("properties", {}).items()
    ]
    description = cell(schema.get("description", "").split("\n\n")[0])
    return "\n".join(
        [
            f"## {title} {{ #{anchor.lower()} }}",
            "",
            description,
            "",
            table(("field", "type", "required", "meaning"), rows),
        ]
    )


def _type(field: Mapping[str, Any]) -> str:
    """Return the type of a field in words, with links to what it is made of."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(map(_type, field["anyOf"])))
    if "const" in field:
        return code(json.dumps(field["const"]))
    if "enum" in field:
        return ", ".join(code(json.dumps(value)) for value in field["enum"])
    kind = field.get("type", "any")
    if kind == "array" and "items" in field:
        return f"list of {_type(field['items'])}"
    if kind == "array" and "prefixItems" in field:
        return f"({', '.join(map(_type, field['prefixItems']))})"
    if kind == "object" and isinstance(field.get("additionalProperties"), Mapping):
        return f"text → {_type(field['additionalProperties'])}"
    return {"string": "text", "null": "null", "object": "object"}.get(kind, str(kind))
