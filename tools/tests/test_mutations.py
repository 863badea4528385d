"""Each law that ``./tools/mutate`` breaks is still there to be broken. That its tests notice, the command shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mutate import MUTATIONS, ROOT, mutations


@pytest.mark.parametrize("mutation", mutations(), ids=lambda mutation: mutation.name)
def test_a_mutation_fits_the_code_and_names_tests_that_exist(mutation: object, tmp_path: Path) -> None:
    assert mutation.law  # type: ignore[attr-defined]
    for change in mutation.changes:  # type: ignore[attr-defined]
        copy = tmp_path / change.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / change.file, copy)
    mutation.apply(tmp_path)  # type: ignore[attr-defined]
    files = [argument.partition("::")[0] for argument in mutation.tests if argument.endswith(".py")]  # type: ignore[attr-defined]
    assert files
    assert all((ROOT / file).exists() for file in files)


def test_none_is_passed_over() -> None:
    assert len(mutations()) == len(list(MUTATIONS.iterdir()))
