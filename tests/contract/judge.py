"""Holds any reply against the OpenAPI document: status, type, headers, body, and no member that it does not name."""

import json
import re

import jsonschema_rs

from ingress.openapi.document import PATH


def shaped(document):
    """The document's schemas, in which an object has no other members than those that are named."""

    def closed(node):
        if isinstance(node, list):
            return [closed(one) for one in node]
        if not isinstance(node, dict):
            return node
        node = {name: closed(one) for name, one in node.items()}
        if node.get("type") == "object" and isinstance(node.get("properties"), dict):
            node.setdefault("additionalProperties", False)
        return node

    return document | {"components": closed(document["components"])}


def pattern_of(path, methods):
    """Matches the addresses of one path: where a part is one of few words, no other."""
    words = {
        parameter["name"]: "|".join(parameter["schema"]["enum"])
        for told in methods.values()
        for parameter in told.get("parameters", ())
        if parameter["in"] == "path" and "enum" in parameter["schema"]
    }
    return re.compile(re.sub(r"{(\w+)}", lambda found: f"({words.get(found[1], '[^/]+')})", path))


class Judge:
    """Tells what is wrong with a reply."""

    def __init__(self):
        self.document = shaped(json.loads(PATH.read_bytes()))
        self._routes = [(pattern_of(path, methods), methods) for path, methods in self.document["paths"].items()]
        self._validators = {}

    def complaint(self, method, path, status, headers, body):
        """None for a reply as it is documented; *headers* by their names in lower case, *path* without its query."""
        if status >= 500:
            return f"{status}: {body[:300]!r}"
        pointer, response = self._response(method.lower(), path, str(status))
        if response is None:
            return f"{status} is not documented: {body[:200]!r}"
        for name, header in response.get("headers", {}).items():
            if self._resolved(header)[1].get("required") and name.lower() not in headers:
                return f"{status} without {name}"
        if method == "HEAD":
            return f"a body of {len(body)} bytes to HEAD" if body else None
        media = headers.get("content-type", "").partition(";")[0]
        content = response["content"].get(media)
        if content is None:
            return f"{status} as {media or 'nothing'}"
        if not media.endswith("json"):
            return None
        try:
            value = json.loads(body)
        except ValueError:
            return f"{status} is no JSON: {body[:200]!r}"
        pointer = f"{pointer}/content/{media.replace('/', '~1')}/schema"
        error = next(self._validator(pointer, content["schema"]).iter_errors(value), None)
        return error and f"{status}: {error.message[:300]} at {list(error.instance_path)}"

    def _response(self, method, path, status):
        for pattern, methods in self._routes:
            if pattern.fullmatch(path):
                told = methods.get("get" if method == "head" else method)
                if told is None:
                    continue
                if status in told["responses"]:
                    return self._resolved(told["responses"][status], f"{path} {method} {status}")
                return None, None
        is_known = any(pattern.fullmatch(path) for pattern, _ in self._routes)
        code = "method_not_allowed" if is_known else "not_found"
        resolved = self._resolved({"$ref": f"#/components/responses/{code}"})
        return resolved if str(405 if is_known else 404) == status else (None, None)

    def _resolved(self, node, pointer=""):
        if "$ref" not in node:
            return pointer, node
        target = self.document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return node["$ref"], target

    def _validator(self, pointer, schema):
        if pointer not in self._validators:
            whole = schema | {"components": self.document["components"]}
            self._validators[pointer] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[pointer]
