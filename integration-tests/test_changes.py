"""Rows that change become jobs, and a real runner works them off."""

from __future__ import annotations

import psycopg
import pytest

from sites import Site

pytestmark = pytest.mark.parametrize("vendor", ["postgresql"])

APPS = {"INSTALLED_APPS": ["dlq", "dlq_db", "project.shop"]}


def heard(site: Site, *labels: str) -> None:
    for label in labels:
        site.traced("changed", label, within=20)


@pytest.fixture
def shop(site: Site) -> Site:
    """The site with the shop in it, its triggers, and a runner."""
    site.manage("migrate", "--run-syncdb", **APPS).check_returncode()
    site.start({"*": 1}, **APPS)
    return site


def test_every_way_to_write_is_heard_of(shop: Site) -> None:
    change = "from project.shop.models import Customer; Customer.objects.filter(name='a').update(name='b')"
    with psycopg.connect(shop.url, autocommit=True) as writer:
        writer.execute("INSERT INTO shop_customer (name) VALUES ('a')")
        heard(shop, "none-a")
        shop.manage("shell", "-c", change, **APPS).check_returncode()
        heard(shop, "a-b")
        with writer.cursor().copy("COPY shop_customer (name) FROM STDIN") as copy:
            copy.write("c\nd\n")
        heard(shop, "none-c", "none-d")
        with writer.transaction(force_rollback=True):
            writer.execute("UPDATE shop_customer SET name = 'never'")
        writer.execute("UPDATE shop_customer SET name = name || '2'")
        heard(shop, "b-b2", "c-c2", "d-d2")
        writer.execute("DELETE FROM shop_customer")
        heard(shop, "b2-none", "c2-none", "d2-none")
    shop.all_settled([])
    assert len(shop.traces("changed")) == 10


def test_they_are_silent_when_no_task_asks_any_more(site: Site) -> None:
    site.manage("migrate", "--run-syncdb", **APPS).check_returncode()
    site.manage("migrate", DLQ_IGNORE_APPS=["project.shop"], **APPS).check_returncode()
    assert site.manage("queue_triggers", "--install", **APPS).stdout.count("new ") == 7
    assert site.manage("queue_triggers", "--remove", **APPS).stdout.count("removed ") == 7
    with psycopg.connect(site.url, autocommit=True) as writer:
        writer.execute("INSERT INTO shop_customer (name) VALUES ('a')")
    assert not site.counts()
