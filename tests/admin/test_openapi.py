"""The OpenAPI document, and whether the answers are as it says."""

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from rtspdsr.admin import ask
from rtspdsr.admin.routes import ROUTES
from tests.admin.desk import Desk

ANSWERED = [
    ("GET", "/v1/status", "/v1/status", None),
    ("GET", "/v1/sessions", "/v1/sessions", None),
    ("GET", "/v1/sessions/{session}", "/v1/sessions/19183", None),
    ("GET", "/v1/top", "/v1/top?limit=3", None),
    ("GET", "/v1/explain", "/v1/explain?client=198.51.100.7&port=51000", None),
    ("GET", "/v1/backends", "/v1/backends", None),
    ("GET", "/v1/history", "/v1/history", None),
    ("GET", "/v1/totals", "/v1/totals", None),
    ("GET", "/healthz", "/healthz", None),
    ("GET", "/readyz", "/readyz", None),
    ("GET", "/v1/openapi.json", "/v1/openapi.json", None),
    (
        "PUT",
        "/v1/services/{service}/clients/{client}",
        "/v1/services/cams/clients/198.51.100.7",
        {"backend": "cam-a"},
    ),
]


@pytest.fixture
async def document(admin: Path) -> dict[str, Any]:
    """As the daemon answers it."""
    answer: dict[str, Any] = await ask(admin, "GET", "/v1/openapi.json")
    return answer


async def test_it_is_valid_and_names_every_route(document: dict[str, Any]) -> None:
    validate(document)
    told = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert told == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize(("method", "path", "asked", "body"), ANSWERED, ids=[one[1] for one in ANSWERED])
async def test_answers_are_as_it_says(
    admin: Path, desk: Desk, document: dict[str, Any], method: str, path: str, asked: str, body: Any
) -> None:
    desk.living = 3
    answer = await ask(admin, method, asked, body)
    responses = document["paths"][path][method.lower()]["responses"]
    schema = responses["200"]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": document["components"]}).validate(answer)


def test_every_route_that_the_manual_names_exists() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "admin-api.md").read_text()
    named = set(re.findall(r"`(GET|PUT|POST|DELETE) (/\S*)`", manual))
    assert ("GET", "/metrics") in named
    assert named <= {(route.method, route.path) for route in ROUTES}


async def test_path_query_and_body_are_told_apart(document: dict[str, Any]) -> None:
    place = document["paths"]["/v1/services/{service}/clients/{client}"]["put"]
    assert [(one["name"], one["in"], one["required"]) for one in place["parameters"]] == [
        ("service", "path", True),
        ("client", "path", True),
    ]
    body = place["requestBody"]["content"]["application/json"]["schema"]
    assert list(body["properties"]) == body["required"] == ["backend"]


async def test_every_key_of_an_answer_is_typed_and_closed(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["additionalProperties"] is False, name
        assert schema["description"], name
