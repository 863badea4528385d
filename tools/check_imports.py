"""The import rules that go by single names: ``check_imports.py [CHECKOUT]``.

Those between whole packages stand in importlinter.ini.

- Only ``dlq.conf`` reads ``django.conf.settings``.
- Nothing outside ``dlq.testing`` imports ``dlq.testing`` or a test library.
- The other packages import only public modules and names of ``dlq``: none that begins with an underscore.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

TEST_CODE = ("dlq.testing", "pytest", "_pytest", "pytest_django", "hypothesis")
SETTINGS = ("django.conf.settings", "django.conf.*", "django.conf.LazySettings")


def sources(checkout: Path) -> Iterator[tuple[Path, str]]:
    """Every source file of the packages, with the dotted name of its module."""
    for root in sorted(checkout.glob("packages/*/src")):
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """Every dotted name that the file imports, with its line."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "django.conf.settings":
            yield node.lineno, "django.conf.settings"


def within(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def private(name: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


def broken_rule(module: str, name: str) -> str | None:
    """What the module breaks by importing the name, if anything."""
    if module != "dlq.conf" and (within(name, SETTINGS) or name == "django.conf"):
        return "only dlq.conf reads Django's settings"
    if not within(module, ("dlq.testing",)) and within(name, TEST_CODE):
        return "only dlq.testing knows test code"
    if not within(module, ("dlq",)) and within(name, ("dlq",)) and private(name):
        return "other packages use the public names of dlq alone"
    return None


def main(arguments: list[str]) -> int:
    checkout = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    found = [
        f"{path.relative_to(checkout)}:{line}: {module} imports {name}: {broken}"
        for path, module in sources(checkout)
        for line, name in imports(path, module)
        if (broken := broken_rule(module, name))
    ]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
