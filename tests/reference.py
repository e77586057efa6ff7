"""Looks whether an answer is one that the OpenAPI document tells of."""

import re
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match


class Reference:
    """An OpenAPI document, to compare with."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._paths = document["paths"]
        self._components = document["components"]

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """Give what the document says of a request."""
        plain = path.partition("?")[0]
        for template in sorted(self._paths, key=lambda template: template.count("{")):
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), plain):
                return self._paths[template].get(method.lower())
        return None

    def check(self, method: str, path: str, status: int, media: str, body: Any) -> None:
        """Check an answer's status, media type and JSON; an address that is not there is told of nowhere."""
        operation = self.operation(method, path)
        if operation is None:
            assert status in (403, 404, 405), (method, path, status)
            return
        assert str(status) in operation["responses"], (method, path, status, body)
        content = operation["responses"][str(status)].get("content", {})
        if not content:
            assert body is None, (method, path, status, body)
            return
        assert media in content, (method, path, status, media)
        if media == "application/json":
            self.is_valid(body, content[media]["schema"])

    def is_valid(self, value: Any, schema: dict[str, Any]) -> None:
        """Check a value against a schema that may refer into the document."""
        whole = {**schema, "components": self._components}
        error = best_match(Draft202012Validator(whole).iter_errors(value))
        assert error is None, f"{error.json_path}: {error.message}" if error else ""
