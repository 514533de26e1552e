"""Cut out of OpenAI's OpenAPI document what the tests need: `python extract_openai_schemas.py openapi.json`.

Writes openai_schemas.json beside this file: the schemas of the calls that the product makes, with all that they refer
to, without the prose. The document itself (3.4 MB) is OpenAI's, https://github.com/openai/openai-openapi, MIT licence.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("openai_schemas.json")

# What a call sends or gets, as `components.schemas` names it.
WANTED = (
    "CreateResponse",
    "Response",
    "CreateConversationBody",
    "UpdateConversationBody",
    "ConversationResource",
    "DeletedConversationResource",
    "ConversationItemList",
    "ConversationItem",
    "ListModelsResponse",
    "Model",
    "CreateTranscriptionRequest",
    "CreateTranscriptionResponseJson",
    "ErrorResponse",
)
PROSE = frozenset({"description", "example", "examples", "title", "default", "deprecated"})


def strip(node: Any, *, names: bool = False) -> Any:
    """The node without prose and vendor extensions; under `properties` the keys are names, not keywords."""
    if isinstance(node, list):
        return [strip(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: strip(value, names=key == "properties" and not names)
        for key, value in node.items()
        if names or not (key in PROSE or key.startswith("x-"))
    }


def references(node: Any) -> Iterator[str]:
    """Names of the schemas that a node refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rsplit("/", 1)[1]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def extract(document: dict[str, Any]) -> dict[str, Any]:
    """The wanted schemas and all that they refer to, by name."""
    schemas = document["components"]["schemas"]
    items = document["paths"]["/conversations/{conversation_id}/items"]["post"]
    # The only body of ours that the document does not name.
    found = {"CreateItemsBody": strip(items["requestBody"]["content"]["application/json"]["schema"])}
    waiting = [*WANTED, *references(found)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = strip(schemas[name])
            waiting.extend(references(found[name]))
    return dict(sorted(found.items()))


def main() -> int:
    document = json.loads(Path(sys.argv[1]).read_text())
    found = extract(document)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(schema)}" for name, schema in found.items())
    source = f"OpenAI API {document['info']['version']}, OpenAPI document of OpenAI, MIT licence; prose left out"
    TARGET.write_text(f'{{"source": {json.dumps(source)}, "components": {{"schemas": {{\n{lines}\n}}}}}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
