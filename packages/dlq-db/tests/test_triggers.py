"""A row that changes becomes a job, whoever writes it and however."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import RFC_4122

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import DatabaseError, connections, transaction
from django.db.models import Count, Exists, F, OuterRef, Q
from django.db.models.functions import Length, Lower
from pytest_django import Settings

from dlq.errors import ConfigError
from dlq_db import migrating
from dlq_db.models import Job, Live
from dlq_db.triggers import Listener, declaring, installing, listeners, listening, on_change
from dlq_db.triggers.conditions import condition_sql
from project import tasks

USING = "postgres"
TASKS = {
    "default": {
        "BACKEND": "dlq_db.backends.DatabaseBackend",
        "OPTIONS": {"database_alias": USING, "max_payload": 4096},
    }
}
of_the_shop: dict[str, Listener] = {}
PLACED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def _takes_rows(old: object, new: object) -> None: ...


class ToPostgreSQL:
    def db_for_read(self, model: type, **hints: Any) -> str:
        return USING

    db_for_write = db_for_read


@pytest.fixture
def shop(transactional_db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The models of the shop, with tables that are empty, and with triggers."""
    settings.TASKS = TASKS
    settings.DATABASE_ROUTERS = [ToPostgreSQL()]
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "project.shop"]
    # Its module is imported once, and other tests have no shop.
    monkeypatch.setattr(declaring, "_listeners", of_the_shop)
    config = apps.get_app_config("shop")
    with connections[USING].schema_editor() as editor:
        for model in config.get_models():
            editor.create_model(model)
    installing.install(USING)
    assert config.models_module is not None
    yield config.models_module
    with connections[USING].schema_editor() as editor:
        for model in reversed(list(config.get_models())):
            editor.delete_model(model)
    installing.remove(USING)


def execute(sql: str, *arguments: object) -> None:
    with connections[USING].cursor() as cursor:
        cursor.execute(sql, arguments or None)


def jobs(name: str) -> list[Job]:
    """The jobs of a task of the shop, in the order in which they became ready."""
    return list(Job.objects.filter(task=f"project.shop.tasks.{name}").order_by("live__seq"))


def rows(name: str) -> list[tuple[Any, Any]]:
    """What the task gets, as old and new."""
    found = []
    for job in jobs(name):
        args, kwargs = json.loads(job.payload)
        assert args == []
        assert kwargs.keys() == {"old", "new"}
        found.append((kwargs["old"], kwargs["new"]))
    Live.objects.all()._raw_delete(USING)
    Job.objects.all()._raw_delete(USING)
    return found


@pytest.mark.django_db(transaction=True, databases=["default", USING])
class TestAChange:
    def test_is_told_whoever_makes_it(self, shop: ModuleType) -> None:
        ann = shop.Customer.objects.create(name="Ann")
        ann.name = "Änn"
        ann.save()
        shop.Customer.objects.update(name="Bea")
        execute("UPDATE shop_customer SET name = 'Cid'")
        execute(
            "INSERT INTO shop_customer (id, name) SELECT id, 'Dan' FROM shop_customer "
            "ON CONFLICT (id) DO UPDATE SET name = excluded.name"
        )
        with (
            connections[USING].cursor() as cursor,
            cursor.copy("COPY shop_customer (name) FROM STDIN") as copy,
        ):
            copy.write("Eva\n")
        shop.Customer.objects.filter(name="Eva").delete()
        assert [[row and row["name"] for row in pair] for pair in rows("customer_changed")] == [
            [None, "Ann"],
            ["Ann", "Änn"],
            ["Änn", "Bea"],
            ["Bea", "Cid"],
            ["Cid", "Dan"],
            [None, "Eva"],
            ["Eva", None],
        ]

    def test_of_many_rows_is_a_job_for_each(self, shop: ModuleType) -> None:
        shop.Customer.objects.bulk_create(shop.Customer(name=f"{number}") for number in range(100))
        assert len({json.dumps(pair) for pair in rows("customer_changed")}) == 100

    def test_that_changes_nothing_is_none(self, shop: ModuleType) -> None:
        ann = shop.Customer.objects.create(name="Ann")
        rows("customer_changed")
        ann.save()
        shop.Customer.objects.update(name="Ann")
        assert rows("customer_changed") == []

    def test_that_is_rolled_back_leaves_no_job(self, shop: ModuleType) -> None:
        with transaction.atomic(using=USING):
            shop.Customer.objects.create(name="Ann")
            assert len(jobs("customer_changed")) == 1
            transaction.set_rollback(True, using=USING)
        assert rows("customer_changed") == []

    def test_tells_the_columns_by_attname_and_loses_no_digit(self, shop: ModuleType) -> None:
        customer = shop.Customer.objects.create(name="Ann")
        execute("SET timezone = 'Asia/Kathmandu'")
        order = shop.Order.objects.create(
            status='it\'s "new"\n',
            total=Decimal("12345678901234567.1234567890"),
            customer=customer,
            data={"a": [1, None, "ü"]},
            count=2**63 - 1,
            placed_at=PLACED,
            blob=b"\x00\xff",
        )
        execute("RESET timezone")
        [(old, new)] = rows("order_changed")
        assert old is None
        assert new == {
            "id": order.pk,
            "status": 'it\'s "new"\n',
            "total": "12345678901234567.1234567890",
            "customer_id": customer.pk,
            "note": None,
            "data": {"a": [1, None, "ü"]},
            "count": 2**63 - 1,
            "placed_at": "2026-03-01T12:30:00+00:00",
            "blob": "\\x00ff",
        }

    def test_is_told_to_those_whose_condition_it_meets(self, shop: ModuleType) -> None:
        order = shop.Order.objects.create(status="new")
        for status in ("packed", "paid", "paid", "sent"):
            shop.Order.objects.update(status=status)
        assert rows("order_paid") == [
            ({"id": order.pk, "status": "packed"}, {"id": order.pk, "status": "paid"})
        ]

    def test_that_is_too_large_is_refused_to_the_writer_and_says_what_to_do(self, shop: ModuleType) -> None:
        with pytest.raises(DatabaseError, match=r"order_changed, over the max_payload of 4096") as raised:
            shop.Order.objects.create(note="x" * 5000)
        assert "fields=[...]" in str(raised.value)

    def test_is_told_whatever_rights_and_search_path_the_writer_has(self, shop: ModuleType) -> None:
        execute("CREATE ROLE dlq_writer; GRANT INSERT ON shop_customer TO dlq_writer")
        execute(
            "GRANT USAGE ON SCHEMA public TO dlq_writer; GRANT USAGE ON SEQUENCE shop_customer_id_seq TO dlq_writer"
        )
        try:
            execute("SET ROLE dlq_writer; SET search_path = pg_catalog")
            execute("INSERT INTO public.shop_customer (name) VALUES ('Ann')")
            with pytest.raises(DatabaseError, match="permission denied"):
                execute("SELECT FROM public.dlq_job")
            with pytest.raises(DatabaseError, match="permission denied"):
                execute(
                    "CREATE TEMP TABLE mine (); "
                    "CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION public.dlq_changed('{}')"
                )
        finally:
            execute("RESET ROLE; RESET search_path")
            execute("DROP OWNED BY dlq_writer; DROP ROLE dlq_writer")
        assert len(rows("customer_changed")) == 1


@pytest.mark.django_db(transaction=True, databases=["default", USING])
class TestTheJob:
    def test_is_what_an_enqueue_stores(self, shop: ModuleType) -> None:
        from project.shop.tasks import order_changed

        shop.Order.objects.create(status="new")
        [told] = jobs("order_changed")
        [_, kwargs] = json.loads(told.payload)
        enqueued = Job.objects.get(pk=order_changed.enqueue(**kwargs).id)
        ours = ("id", "payload", "seq", "enqueued_at", "expires_at", "job_id")
        for these, those in ((told, enqueued), (told.live, enqueued.live)):
            names = [field.attname for field in these._meta.concrete_fields if field.attname not in ours]
            assert {name: getattr(these, name) for name in names} == {
                name: getattr(those, name) for name in names
            }
        assert json.loads(told.payload) == json.loads(enqueued.payload)
        assert told.expires_at is not None
        assert (told.expires_at - told.enqueued_at).total_seconds() == 3600
        assert told.live.expires_at == told.expires_at

    def test_has_an_id_like_any_other(self, shop: ModuleType) -> None:
        before = datetime.now(UTC)
        shop.Customer.objects.bulk_create(shop.Customer(name=f"{number}") for number in range(50))
        found = [job.id for job in jobs("customer_changed")]
        assert len(set(found)) == 50
        for id in found:
            assert (id.version, id.variant) == (7, RFC_4122)
            made_at = datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
            assert abs((made_at - before).total_seconds()) < 600


@pytest.mark.django_db(transaction=True, databases=["default", USING])
class TestInstalling:
    def test_twice_changes_nothing(self, shop: ModuleType) -> None:
        plan = installing.install(USING)
        assert (plan.create, plan.drop, len(plan.keep)) == ([], [], 7)

    def test_happens_with_migrate(self, shop: ModuleType) -> None:
        installing.remove(USING)
        shop.Customer.objects.create(name="Ann")
        assert rows("customer_changed") == []
        call_command("migrate", "dlq_db", database=USING, verbosity=0)
        shop.Customer.objects.create(name="Bea")
        assert len(rows("customer_changed")) == 1

    def test_follows_the_options_of_the_task(self, shop: ModuleType, settings: Settings) -> None:
        settings.TASKS = {
            "default": TASKS["default"] | {"OPTIONS": {"database_alias": USING, "max_payload": 9999}}
        }
        plan = installing.install(USING)
        assert (len(plan.create), len(plan.drop), plan.keep) == (7, 7, [])
        shop.Order.objects.create(note="x" * 5000)
        assert len(rows("order_changed")) == 1

    def test_takes_away_what_no_task_asks_for(
        self, shop: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = [each for each in listeners() if each.task.func.__name__ == "order_paid"]
        monkeypatch.setattr(listening, "listeners", lambda: kept)
        assert len(installing.install(USING).drop) == 6
        monkeypatch.setattr(listening, "listeners", list)
        assert len(installing.install(USING).drop) == 1
        with connections[USING].cursor() as cursor:
            cursor.execute("SELECT to_regprocedure('dlq_changed()')")
            assert cursor.fetchone() == (None,)

    def test_leaves_writers_alone_when_the_tables_of_jobs_go(self, shop: ModuleType) -> None:
        call_command("migrate", "dlq_db", "zero", database=USING, verbosity=0)
        try:
            shop.Customer.objects.create(name="Ann")
        finally:
            call_command("migrate", "dlq_db", database=USING, verbosity=0)
        shop.Customer.objects.create(name="Bea")
        assert len(rows("customer_changed")) == 1

    def test_is_none_of_its_business_where_the_backend_is_another(
        self, shop: ModuleType, settings: Settings
    ) -> None:
        settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
        assert run_checks() == []
        assert list(listening.elsewhere()) == []

    def test_that_cannot_be_is_said_by_a_check(self, shop: ModuleType, settings: Settings) -> None:
        settings.DATABASE_ROUTERS = []
        found = [message for message in run_checks() if message.id == "dlq.W102"]
        assert len(found) == 7
        assert "the jobs are in the database 'postgres', the rows in 'default'" in found[0].msg


@pytest.mark.django_db(transaction=True, databases=["default", USING])
class TestAListener:
    def test_of_a_model_that_does_not_exist_is_named(
        self, shop: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listening, "listeners", lambda: [replace(listeners()[0], on="shop.Nothing")])
        [(_, why)] = listening.elsewhere()
        assert "there is no such model" in why
        assert list(listening.listeners_in(USING)) == []


class TestDeclaring:
    """What is refused at once."""

    @pytest.fixture(autouse=True)
    def nothing_declared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(declaring, "_listeners", {})

    def test_a_function_that_is_no_task(self) -> None:
        with pytest.raises(TypeError, match="Put @on_change above @task"):
            on_change("shop.Order", "insert")(print)  # type: ignore[type-var]

    def test_a_task_that_does_not_take_the_rows(self) -> None:
        with pytest.raises(TypeError, match=r"called with old=… and new=…"):
            on_change("shop.Order", "insert")(tasks.add)

    def test_a_task_whose_key_no_trigger_can_make(self) -> None:
        limited = tasks.add.using(concurrency={"key": "all", "limit": 1})
        task = replace(limited, func=_takes_rows)
        with pytest.raises(TypeError, match="whose key a trigger cannot make"):
            on_change("shop.Order", "insert")(task)

    def test_an_event_that_does_not_exist(self) -> None:
        with pytest.raises(TypeError, match="'insert', 'update', 'delete'"):
            on_change("shop.Order", "upsert")  # type: ignore[arg-type]

    def test_the_same_twice(self) -> None:
        with pytest.raises(TypeError, match="declared twice"):
            on_change("shop.Order", "insert")(on_change("shop.Order", "insert")(tasks.noop))


CONDITIONS = [
    (Q(new__status='it\'s 100% \\ "done"'), 'it\'s 100% \\ "done"', True),
    (Q(new__status="x"), "it's", False),
    (~Q(old__note="x"), "x", True),  # It is NULL, and so not "x".
    (~Q(old__note=F("new__note")), "x", False),  # Both are NULL, and so equal.
    (Q(old__note=None), "x", True),
    (Q(new__status__in=["a", "x"]) | Q(new__total__gt=Decimal("99.5")), "x", True),
    (Q(new__status__in=["a", "b"]) ^ Q(new__count__gt=F("old__count") + 1), "x", True),
    (Q(new__total__gte=F("old__total") * 2), "x", False),
    (Q(new__data__kind="x"), "x", True),
    (Q(new__placed_at__year=2026) & Q(new__placed_at__lte=PLACED), "x", True),
    (Q(new__status=Lower(F("old__status"))), "x", False),
    (Q(new__status__startswith="x"), "xyz", True),
    (Q(new__customer=None, new__customer_id__isnull=True), "x", True),
    (Q(new__pk=F("old__id")), "x", True),
    (Q(), "x", True),
]


@pytest.mark.django_db(transaction=True, databases=["default", USING])
class TestAConditionOnRows:
    @pytest.mark.parametrize(("when", "status", "met"), CONDITIONS)
    def test_means_what_a_filter_would_mean(
        self, shop: ModuleType, monkeypatch: pytest.MonkeyPatch, when: Q, status: str, met: bool
    ) -> None:
        from project.shop.tasks import order_paid

        [listener] = [each for each in listeners() if each.task is order_paid]
        monkeypatch.setattr(listening, "listeners", lambda: [replace(listener, when=when)])
        installing.install(USING)
        shop.Order.objects.create(status="Old", total=60, placed_at=PLACED)
        shop.Order.objects.update(status=status, total=100, count=5, data={"kind": "x"})
        assert bool(rows("order_paid")) is met

    @pytest.mark.parametrize(
        ("when", "event", "why"),
        [
            (Q(status="x"), "update", "'status'; on update the names begin with one of"),
            (Q(old__status="x"), "insert", "on insert the names begin with one of: new__blob"),
            (Q(new__status=F("status")), "update", "'status'; on update"),
            (Q(new__status=F("new__status__lower")), "update", "which is no column"),
            (Q(new__customer__name="Ann"), "update", "Unsupported lookup 'name'"),
            (Q(new__count="many"), "update", "expected a number"),
            (Q(new__count=Count("new__id")), "update", "a trigger can compare with"),
            (Q(new__status=OuterRef("x")), "update", "a trigger can compare with"),
            (Q(new__id__in=Job.objects.all()), "update", "a trigger can compare with"),
            (Q(Exists(Job.objects.all())), "update", "only conditions by name"),
            (Q(new__count__gt=[Length(F("x"))]), "update", "'x'; on update"),
        ],
    )
    def test_is_refused_where_a_trigger_cannot_see(
        self, shop: ModuleType, when: Q, event: str, why: str
    ) -> None:
        with pytest.raises(ConfigError, match=re.escape(why)):
            condition_sql(when, shop.Order, event, connections[USING])


@pytest.mark.django_db(transaction=True, databases=["default", USING])
class TestAMigrationOfTheTable:
    def test_may_add_drop_and_change_columns_that_no_condition_names(self, shop: ModuleType) -> None:
        shop.Customer.objects.create(name="1")
        execute("ALTER TABLE shop_customer ADD COLUMN age int, ALTER COLUMN name TYPE text")
        shop.Customer.objects.update(name="2")
        execute("ALTER TABLE shop_customer DROP COLUMN age")
        shop.Customer.objects.update(name="3")
        told = [new and new["name"] for _, new in rows("customer_changed")]
        assert told == ["1", "2", "3"]

    def test_cannot_change_a_column_that_a_condition_names(self, shop: ModuleType) -> None:
        status = shop.Order._meta.get_field("status")
        with connections[USING].schema_editor() as editor, pytest.raises(DatabaseError, match="trigger"):
            editor.remove_field(shop.Order, status)

    def test_can_when_no_task_asks_for_it_any_more(
        self, shop: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = [each for each in listeners() if each.task.func.__name__ != "order_paid"]
        monkeypatch.setattr(listening, "listeners", lambda: kept)
        migrating.remove_triggers(USING)
        with connections[USING].schema_editor() as editor:
            editor.remove_field(shop.Order, shop.Order._meta.get_field("status"))
        assert len(installing.compare(USING).keep) == 6
