"""The tables as users may read them, and may not write them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import NotSupportedError
from django.db.models import Count, Model, QuerySet
from django.db.models.functions import Now

from dlq.job import Failure, Outcome
from dlq.states import State
from dlq.testing.contract.builders import add, claim, claim_one, register, settle
from dlq_db import models
from dlq_db.store import DatabaseStore
from documents import blocks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "models.md"
MODELS = list(apps.get_app_config("dlq_db").get_models())


@pytest.fixture(params=["default", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """One with a job that runs, and one that has failed."""
    store = DatabaseStore("default", database=request.param)
    worker = register(store)
    add(store, queue="mail", task="shop.tasks.pay")
    failed = claim_one(store, worker, queues=["mail"])
    failure = Failure(exception="builtins.ValueError", traceback="no")
    settle(store, worker, Outcome.failed(failed, failure))
    add(store)
    claim(store, worker, 1)
    return str(request.param)


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
class TestReading:
    def test_goes_as_the_documentation_says(self, database: str) -> None:
        imports, examples = blocks(PAGE.read_text(), "python")
        names: dict[str, object] = {"Count": Count, "Now": Now}
        exec(imports, names)
        results = [eval(line, names) for line in examples.splitlines()]
        found = [result.using(database) if isinstance(result, QuerySet) else result for result in results]
        failed, running, by_task, due, by_exception = found
        assert [job.task for job in failed] == ["shop.tasks.pay"]
        assert [job.live.worker for job in running] == ["worker-1"]
        assert list(by_task) == [{"task": "shop.tasks.pay", "state": State.FAILED, "n": 1}]
        assert due == 0
        assert list(by_exception) == [{"exception": "builtins.ValueError", "n": 1}]

    def test_a_row_that_is_for_reading_is_not_saved_or_deleted(self, database: str) -> None:
        rows: list[Model] = [
            model.objects.using(database).all()[0] for model in (models.Job, models.Live, models.Attempt)
        ]
        for row in rows:
            with pytest.raises(NotSupportedError, match=r"dlq\.control"):
                row.save()
            with pytest.raises(NotSupportedError, match=r"manage\.py queue_job"):
                row.delete()
        with pytest.raises(NotSupportedError):
            models.Job.objects.using(database).create()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_column_is_documented(model: type[Model]) -> None:
    _, _, rest = PAGE.read_text().partition(f"\n## {model.__name__}\n")
    section = rest.partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(documented) == sorted(field.attname for field in model._meta.concrete_fields)
    assert f"`{model._meta.db_table}`" in section


@pytest.mark.django_db(databases=["default"])
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "dlq_db", check=True, dry_run=True, verbosity=0)
