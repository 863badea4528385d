"""Fixtures of the tests of dlq-db."""

from leftovers import django_db_setup  # noqa: F401  # pytest finds it here
