"""The dashboard of DLQ inside the Django admin: put ``"dlq_admin"`` into ``INSTALLED_APPS``."""
