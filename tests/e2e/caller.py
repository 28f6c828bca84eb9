"""Someone who calls the API by the operations of its document, and holds each answer against it."""

from typing import Any

import httpx
from schemathesis import CheckFunction
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi.schemas import OpenApiSchema

#: What each answer is held against.
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


class Caller:
    """Notes which operations have succeeded."""

    def __init__(self, http: httpx.Client, schema: OpenApiSchema) -> None:
        self._http = http
        self._schema = schema
        self.succeeded: set[str] = set()

    def __call__(self, operation_id: str, ids: dict[str, str] | None = None, /, **request: Any) -> httpx.Response:
        """Calls an operation, with `ids` in its path; the rest is as httpx takes it.

        Raises:
            AssertionError: It was not answered as the document says, or with an error.
        """
        operation = self._schema.find_operation_by_id(operation_id)
        case = operation.Case(path_parameters=ids or {})
        answer = self._http.request(operation.method, case.formatted_path, **request)
        # The checks look at the request as well, and a form is not kept as it is sent.
        answer.request.read()
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code < 400, answer.text
        self.succeeded.add(operation_id)
        return answer
