"""OpenAPI: each example is sent as it stands, and whatever else the description allows does not
make the server fail."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis import checks

from pipeline.serve.described import EXAMPLES, FORM_EXAMPLE
from tests.support.api_server import FILM, PICTURE, ApiServer

CHECKS = (
    checks.not_a_server_error,
    checks.response_schema_conformance,
    checks.content_type_conformance,
)
FEW = settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
PLACES = {"search": "/v1/search", "segments": "/v1/assets/{}/segments"}


@pytest.fixture(scope="module")
def described(api: ApiServer) -> dict[str, Any]:
    with api.http() as http:
        made: dict[str, Any] = http.get("/openapi.json").json()
    return made


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_answered(api: ApiServer, described: dict[str, Any], name: str) -> None:
    for place in PLACES.values():
        path = place.format("{asset_id}")
        content = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert content["examples"][name]["value"] == EXAMPLES[name]
        with api.http() as http:
            body = content["examples"][name]["value"]
            answer = http.post(place.format(api.corpus.id_of(FILM)), json=body)
        assert answer.status_code == 200, answer.text


def test_the_example_of_a_form_is_answered(api: ApiServer, described: dict[str, Any]) -> None:
    content = described["paths"]["/v1/search"]["post"]["requestBody"]["content"]
    example = content["multipart/form-data"]["examples"]["a_picture"]["value"]
    assert example == FORM_EXAMPLE
    with api.http() as http:
        answer = http.post(
            "/v1/search",
            data={"request": example["request"]},
            files={"photo": api.corpus.objects[PICTURE]},
        )
    assert answer.status_code == 200, answer.text


def test_the_paths_are_those_of_the_document(described: dict[str, Any], root_dir: Any) -> None:
    document = (root_dir / "docs/serve.md").read_text()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert list(operation["responses"]["default"]["content"]) == [
                "application/problem+json"
            ]
            assert "422" not in operation["responses"]
            named = f"`{method.upper()} {path}`"
            either = f"`{method.upper()}`, `HEAD {path}`"
            assert named in document or either in document, named


def test_whatever_is_asked_nothing_fails(api: ApiServer, described: dict[str, Any]) -> None:
    """Few examples of each, and the same ones at every run."""
    schema = schemathesis.openapi.from_dict(described)
    asked = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @FEW
        @given(case=operation.as_strategy(), known=strategies.booleans())
        def ask(case: schemathesis.Case, known: bool) -> None:
            if known and "asset_id" in case.path_parameters:
                case.path_parameters["asset_id"] = api.corpus.id_of(FILM)
            case.call_and_validate(base_url=api.url, checks=list(CHECKS))

        ask()
        asked.append(operation.label)
    assert len(asked) == len(described["paths"]) + 1  # segments are had in two ways
