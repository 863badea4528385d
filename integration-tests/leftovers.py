"""Sessions that threads of tests have left open: they would keep PostgreSQL from dropping its test databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

__all__ = ["django_db_setup"]

END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The test databases, without anybody in them at the end. A conftest imports it in the place of pytest-django's."""
    yield
    with django_db_blocker.unblock():
        for alias in connections:
            if connections[alias].vendor == "postgresql" and alias != "pgbouncer":
                with connections[alias].cursor() as cursor:
                    cursor.execute(END_OTHERS)
                # pytest-django closes the one that it began with, in whose place a store may have put another.
                connections[alias].close()
