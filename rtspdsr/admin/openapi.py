"""The OpenAPI document (3.1), made from the table of routes, so that it cannot tell anything else."""

import inspect
import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from rtspdsr.admin.answers import ErrorAnswer
from rtspdsr.admin.guard import COOKIE
from rtspdsr.admin.route import Route

REFERENCE = "#/components/schemas/{model}"
REFUSALS = {
    400: "what is asked is wrong, or is refused",
    401: "over TCP, without the token",
    403: "asked by a page of another site, or under a name that is not ours",
    404: "there is nothing of that name",
    429: "too many wrong tokens came from this address",
}
SECURITY = {
    "token": {"type": "http", "scheme": "bearer"},
    "login": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


def document(routes: Iterable[Route]) -> dict[str, object]:
    """The whole document, ready for JSON."""
    writer = _Writer()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operations = paths.setdefault(re.sub(r"{(\w+):[^}]*}", r"{\1}", route.path), {})
        operations[route.method.lower()] = writer.operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rtspdsr",
            "version": version("rtspdsr"),
            "description": "What an operator asks the daemon. Units are in the names: seconds, bytes.",
        },
        "paths": paths,
        "components": {"schemas": writer.schemas, "securitySchemes": SECURITY},
        "security": [{name: []} for name in SECURITY],
    }


class _Writer:
    """Writes operations, and gathers the schemas that they refer to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def operation(self, route: Route) -> dict[str, Any]:
        """One method of a path."""
        asked = self._schema(route.asked, inline=True)
        told: dict[str, Any] = {"summary": route.summary, **({"security": []} if route.public else {})}
        if text := inspect.getdoc(route.handler):
            told["description"] = text
        required = asked.get("required", ())
        body = {}
        for name, schema in asked.get("properties", {}).items():
            if route.changes and name not in route.places:
                body[name] = schema
                continue
            place = "path" if name in route.places else "query"
            one = {"name": name, "in": place, "required": name in required, "schema": schema}
            told.setdefault("parameters", []).append(one)
        if body:
            needed = [name for name in required if name in body]
            content = {
                "type": "object",
                "properties": body,
                "required": needed,
                "additionalProperties": False,
            }
            told["requestBody"] = {"required": bool(needed), "content": _json(content)}
        told["responses"] = self._responses(route)
        return told

    def _responses(self, route: Route) -> dict[str, Any]:
        schema = {"type": "string"} if route.answer is None else self._schema(route.answer)
        content = {route.media: {"schema": schema}}
        said = {"200": {"description": route.summary, "content": content}}
        for status, meaning in route.statuses.items():
            said[str(status)] = {"description": meaning, "content": content}
        refused = self._schema(ErrorAnswer)
        for status, meaning in REFUSALS.items():
            said.setdefault(str(status), {"description": meaning, "content": _json(refused)})
        return said

    def _schema(self, described: Any, *, inline: bool = False) -> dict[str, Any]:
        """The schema of a type; what it refers to, and it itself unless ``inline``, among the components."""
        schema = TypeAdapter(described).json_schema(ref_template=REFERENCE)
        self.schemas |= schema.pop("$defs", {})
        if inline or "title" not in schema or "properties" not in schema:
            return schema
        self.schemas[schema["title"]] = schema
        return {"$ref": REFERENCE.format(model=schema["title"])}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
