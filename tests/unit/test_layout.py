"""The layout holds: imports go one way, manifests set what functions read, errors get what their sentences name."""

import ast
import dataclasses
import importlib
import string
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from audiolift.errors import CODES
from audiolift.tracing import TracingSettings

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("auth", "upload", "convert", "notify")
ERRORS = ("PermanentError", "TransientError", "AudioliftError")
CORE = sorted((ROOT / "src/audiolift").rglob("*.py"))
#: Set for the shell and the C library, or by Knative and a SinkBinding, rather than by or for a settings class.
FOR_START = {"THREADS", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
FROM_KNATIVE = {"PORT", "K_SINK"}


def modules(function: str) -> list[Path]:
    return sorted((ROOT / "functions" / function).glob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The top-level name, or `audiolift.x`, of each import in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


def settings_classes(function: str) -> list[type[Any]]:
    module = importlib.import_module(f"{function}_settings")
    classes = [value for value in vars(module).values() if isinstance(value, type) and dataclasses.is_dataclass(value)]
    own = [kind for kind in classes if any("doc" in field.metadata for field in dataclasses.fields(kind))]
    return [*own, TracingSettings]


def environment(function: str) -> set[str]:
    """The variables that the function's Service sets."""
    (service,) = (
        doc for doc in yaml.safe_load_all((ROOT / f"knative/{function}.yaml").read_text()) if doc["kind"] == "Service"
    )
    (container,) = service["spec"]["template"]["spec"]["containers"]
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names))
    return set(names)


def raised() -> Iterator[tuple[str, str, set[str]]]:
    """Where an error with a literal code is made, the code, and the fields it is given."""
    for path in [*CORE, *(ROOT / "functions").rglob("*.py"), *(ROOT / "local").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith(ERRORS):
                code = node.args[0]
                if isinstance(code, ast.Constant) and None not in [keyword.arg for keyword in node.keywords]:
                    fields = {str(keyword.arg) for keyword in node.keywords} - {"cause", "retry_after"}
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", str(code.value), fields


def test_no_two_functions_have_a_module_of_the_same_name() -> None:
    names = Counter(path.stem for function in FUNCTIONS for path in modules(function) if path.stem != "main")
    assert [name for name, count in names.items() if count > 1] == []
    # Nor may one hide a library: they stand first on the path.
    assert [name for name in names if name in sys.stdlib_module_names] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_imports_no_other_function_and_nothing_of_the_platform(function: str) -> None:
    others = {path.stem for other in FUNCTIONS if other != function for path in modules(other)}
    foreign = others | {"main", "local", "tests", "functions"}
    for path in modules(function):
        assert foreign.isdisjoint(name.partition(".")[0] for name in imported(path)), path


def test_the_core_imports_nothing_that_stands_above_it() -> None:
    above = {path.stem for function in FUNCTIONS for path in modules(function)} | {"local", "tests", "functions"}
    assert len(CORE) > 5
    for path in CORE:
        assert above.isdisjoint(name.partition(".")[0] for name in imported(path)), path


@pytest.mark.parametrize("name", ["admin", "cookies", "errors", "events", "links", "options", "publish", "settings"])
def test_the_bottom_of_the_core_needs_nothing_but_the_standard_library(name: str) -> None:
    used = {module.partition(".")[0] for module in imported(ROOT / f"src/audiolift/{name}.py")}
    assert used <= sys.stdlib_module_names | {"audiolift"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_manifest_sets_what_its_function_requires_and_nothing_that_it_does_not_read(function: str) -> None:
    fields = [field for kind in settings_classes(function) for field in dataclasses.fields(kind)]
    known = {field.name.upper() for field in fields}
    required = {field.name.upper() for field in fields if field.default is dataclasses.MISSING}
    assert required
    assert required - FROM_KNATIVE - environment(function) == set()
    assert environment(function) - known - FOR_START == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_secret_has_a_default_but_to_be_left_out(function: str) -> None:
    for kind in settings_classes(function):
        for field in dataclasses.fields(kind):
            assert not field.metadata["secret"] or field.default in (dataclasses.MISSING, None), field.name


def test_every_error_is_given_what_its_sentence_names() -> None:
    found = list(raised())
    assert len(found) > 20
    for where, code, fields in found:
        assert code in CODES, where
        named = {name for _, name, _, _ in string.Formatter().parse(CODES[code].sentence) if name}
        assert fields == named, where
