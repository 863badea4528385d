"""Whoever reads German sees German, and whoever adds a language finds all there is to say."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import translation
from django.utils.translation.template import templatize

import dlq_admin
from dlq import MemoryBackend
from dlq.testing.contract.builders import add

from .browsing import BASE, fail, html

PACKAGE = Path(dlq_admin.__file__).parent
LOCALE = PACKAGE / "locale"
MARKS = {"_", "gettext", "gettext_lazy", "ngettext"}
_IN_TEMPLATE = re.compile(r"""\b(?:_|n?gettext)\(u?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_IN_CATALOG = re.compile(r'^msgid ("(?:[^"\\]|\\.)+")$', re.MULTILINE)
_WITH_TEXT = re.compile(
    r'^msgid ("(?:[^"\\]|\\.)+")\n(?:msgid_plural ".*"\nmsgstr\[0\]|msgstr) (".*")$', re.MULTILINE
)
_PLACE = re.compile(r"%\(\w+\)[sd]")


def marked() -> set[str]:
    """Every text of the package that is to be translated."""
    return {text for path in PACKAGE.rglob("*.py") for text in _in_module(path.read_text())} | {
        ast.literal_eval(found)
        for path in PACKAGE.rglob("*.html")
        for found in _IN_TEMPLATE.findall(templatize(path.read_text()))
    }


def _in_module(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
            text = node.args[0]
            assert isinstance(text, ast.Constant), f"no catalog can hold {ast.unparse(node)}"
            yield str(text.value)


def german() -> dict[str, str]:
    """The texts as Django reads them; of plurals the one for one."""
    with (LOCALE / "de/LC_MESSAGES/django.mo").open("rb") as file:
        catalog: dict[str | tuple[str, int], str] = vars(gettext.GNUTranslations(file))["_catalog"]
    return {
        key if isinstance(key, str) else key[0]: text
        for key, text in catalog.items()
        if key and (isinstance(key, str) or key[1] == 0)
    }


def in_catalog(path: Path) -> set[str]:
    return {ast.literal_eval(found) for found in _IN_CATALOG.findall(path.read_text())}


def test_every_text_has_a_german_one() -> None:
    assert marked() - german().keys() == set()


@pytest.mark.parametrize("catalog", ["django.pot", "de/LC_MESSAGES/django.po"])
def test_catalogs_hold_every_text_and_no_other(catalog: str) -> None:
    assert in_catalog(LOCALE / catalog) == marked()


def test_what_was_compiled_is_what_was_written() -> None:
    written = _WITH_TEXT.findall((LOCALE / "de/LC_MESSAGES/django.po").read_text())
    assert german() == {ast.literal_eval(text): ast.literal_eval(said) for text, said in written}


def test_german_texts_have_the_same_places_for_values() -> None:
    wrong = {
        text: said
        for text, said in german().items()
        if set(_PLACE.findall(text)) != set(_PLACE.findall(said))
    }
    assert wrong == {}


def test_pages_are_german(memory: MemoryBackend, admin: Client) -> None:
    id = fail(memory)
    with translation.override("de"):
        for page in ("", "failures/", "workers/", "limits/", "schedules/"):
            text = html(admin, page)
            assert "Übersicht" in text
            assert "Overview" not in text
        assert "Verlauf" in html(admin, f"jobs/{id}/")
        assert "fehlgeschlagen" in html(admin, "jobs/")


def test_the_admins_log_is_in_the_language_of_who_did_it(memory: MemoryBackend, admin: Client) -> None:
    id = add(memory.store)
    with translation.override("de"):
        admin.post(BASE + "jobs/act/", {"action": "cancel", "id": str(id), "confirmed": "1"})
    assert LogEntry.objects.get().change_message == "Abgebrochen"
    (job,) = memory.store.get([id])
    assert job.reason == "abgebrochen von administrator"
