import tomllib
from pathlib import Path

core = Path(__file__).resolve().parent.parent / "packages" / "dlq-core" / "pyproject.toml"

project = "DLQ"
copyright = "2026, the DLQ authors"
release = tomllib.loads(core.read_text())["project"]["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
autodoc_typehints = "description"
# The build needs no network: names of Python and Django stay unlinked, but each of our own must exist.
nitpick_ignore_regex = [
    ("py:.*", r"(?!dlq(_|\.|$)).*"),
    # What a signature names need not be on the page itself: type variables, aliases, the classes behind.
    ("py:class", r"dlq.*"),
]
exclude_patterns = ["changes/*"]
