"""Writes docs/configuration.md, the schemas in configs/, and the rooms in docs/architecture.md.

    python docs/generate.py

A setting's type, default, bounds and explanation stand at its declaration and nowhere else. What a room is
for stands in the first line of its `__init__.py`.
"""

import ast
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipelines.config import FORMATS, BuildConfig
from pipelines.training import TrainConfig
from retrieval.serve import Autoscaling, ServeSettings

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = Path("docs/configuration.md")
SCHEMA = Path("configs/schema.json")
TRAIN_SCHEMA = Path("configs/train-schema.json")
ARCHITECTURE = Path("docs/architecture.md")
ROOMS_BEGIN = "<!-- rooms: written by docs/generate.py from the first line of each __init__.py -->\n"
ROOMS_END = "<!-- end of rooms -->\n"
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}

HEAD = """# Configuration

<!-- Written by docs/generate.py from the declarations of the settings. Change those, then: make docs -->

A build is described by one YAML file. Two keys are needed, everything else has a default:

```yaml
corpus:
  paths: documents/
index:
  path: index
```

- Unknown keys are errors. The message names the key and the nearest valid one.
- Relative paths start at the folder of the configuration file.
- Sizes are bytes, or text with a unit: `64MB` is 64,000,000 bytes, `64MiB` is 67,108,864.
- "not set" means that the value is found out during the build, as the explanation says.
- [`configs/`](../configs) holds examples. [`configs/schema.json`](../configs/schema.json) is the same as a
  JSON Schema: with the line `# yaml-language-server: $schema=PATH/TO/schema.json` on top of the file, an
  editor completes and checks keys.
- No secrets belong in this file: see [credentials](cluster.md#credentials).
"""


SERVICE = """# The service

The settings of `corpusmill serve --config FILE`; in a file for `serve deploy` they are the `args` of the
application, as in [`deploy/serve.yaml`](../deploy/serve.yaml). Keys are never part of it.
"""


TRAINING = """# A training

The configuration of `corpusmill train` and `corpusmill mine`, which [training.md](training.md) explains;
[`configs/train-schema.json`](../configs/train-schema.json) is the same as a JSON Schema. Needed are `index`,
`output` and one source of `examples`.
"""


def reference() -> str:
    """The page, in Markdown."""
    build = BuildConfig.model_json_schema()
    definitions = build["$defs"]
    sections = [HEAD]
    sections += keys_of(BuildConfig, build, definitions)
    at = next(i for i, part in enumerate(sections) if part.startswith("## corpus.fields"))
    sections[at:at] = format_options()
    service = ServeSettings.model_json_schema()
    sections += [SERVICE, *section("serve", ServeSettings, service["$defs"] | {"ServeSettings": service})]
    training = TrainConfig.model_json_schema()
    return "\n".join([*sections, TRAINING, *keys_of(TrainConfig, training, training["$defs"], "train.")])


def format_options() -> list[str]:
    """A section for each format of this package that has settings of its own."""
    sections: list[str] = []
    for name in FORMATS.built_in():
        model = import_module(f"{FORMATS.room}.{name}").FORMAT.options
        if model.model_fields:
            sections += section(f"corpus.options.{name}", model, {model.__name__: model.model_json_schema()})
    return sections


def keys_of(config: Any, schema: dict[str, Any], definitions: dict[str, Any], front: str = "") -> list[str]:
    """A section for each key of a configuration. front: of the titles."""
    sections: list[str] = []
    for name, field in config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections += section(f"{front}{name}", field.annotation, definitions)
        else:
            needed = field.is_required()
            default = "**needed**" if needed else shown(field.get_default(call_default_factory=True))
            told = f"{type_of(schema['properties'][name])}; {default if needed else f'default {default}'}"
            sections.append(f"## {front}{name}\n\n{field.description}\n\n{told[0].upper()}{told[1:]}.\n")
    return sections


def section(place: str, model: Any, definitions: dict[str, Any]) -> list[str]:
    """A table of the settings at `place`, then the sections of those that have settings of their own."""
    own = definitions[model.__name__]
    lines = [
        f"## {place}\n", f"{own['description']}\n",
        "| setting | type | default | meaning |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    inner: list[str] = []
    for name, field in model.model_fields.items():
        if field.exclude:  # told by another section
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner += section(f"{place}.{name}", field.annotation, definitions)
            continue
        default = "**needed**" if field.is_required() else shown(field.get_default(call_default_factory=True))
        told = own["properties"][name]  # whose description may be made of what is registered
        cells = (f"`{name}`", type_of(told), default, str(told.get("description", field.description)))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, "", *inner]


def type_of(schema: dict[str, Any]) -> str:
    """The type of a setting in words, with its bounds."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    options.sort(key=lambda option: "enum" not in option)  # the longest last
    return ", or ".join(_one_type(option) for option in options)


def _one_type(schema: dict[str, Any]) -> str:
    if schema.get("$ref", "").endswith("/Autoscaling"):
        return ", ".join(f"`{name}`" for name in Autoscaling.model_fields)
    if "$ref" in schema:
        return "settings as in [`model`](#model)"
    if "enum" in schema:
        return ", ".join(f"`{shown_plainly(value)}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_one_type(schema['items'])}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        if not isinstance(values, dict) or values.get("type") == "object":
            return "mapping"
        return f"mapping of names to types: {_one_type(values)}"
    if schema.get("examples"):
        return f"text such as `{schema['examples'][0]}`"
    words = {"string": "text", "integer": "integer", "number": "number", "boolean": "`true` or `false`"}
    told = [f"{word} {schema[bound]:,}" for bound, word in BOUNDS.items() if bound in schema]
    return ", ".join([words[schema["type"]], *told])


def shown(value: Any) -> str:
    """A default as it would stand in the file."""
    if value is None:
        return "not set"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:,}"
    return f"`{shown_plainly(value)}`"


def shown_plainly(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def schema(config: type[BaseModel]) -> str:
    """The JSON Schema of a configuration file."""
    return json.dumps(config.model_json_schema(), indent=2) + "\n"


def architecture() -> str:
    """The page as it is, with its table of rooms made anew."""
    before, _, rest = (ROOT / ARCHITECTURE).read_text("utf-8").partition(ROOMS_BEGIN)
    return before + ROOMS_BEGIN + rooms() + ROOMS_END + rest.partition(ROOMS_END)[2]


def rooms() -> str:
    """A table of all folders of code, each with the first line of its docstring."""
    lines = ["| room | purpose |", "| --- | --- |"]
    for package in ("retrieval", "pipelines", "jobs"):
        doors = (ROOT / package).rglob("__init__.py")
        for door in sorted(doors, key=lambda door: door.parent.parts):
            told = (ast.get_docstring(ast.parse(door.read_text("utf-8"))) or "").partition("\n")[0]
            place = door.parent.relative_to(ROOT).as_posix()
            lines.append(f"| [`{place}/`](../{place}) | {told} |")
    return "\n".join(["", *lines, "", ""])


def main() -> None:
    """Write the files."""
    contents = (
        (REFERENCE, reference()), (SCHEMA, schema(BuildConfig)), (TRAIN_SCHEMA, schema(TrainConfig)),
        (ARCHITECTURE, architecture()),
    )  # fmt: skip
    for path, content in contents:
        (ROOT / path).write_text(content, "utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
