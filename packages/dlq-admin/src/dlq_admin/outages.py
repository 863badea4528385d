"""What a page shows when its store cannot be asked: that, and not an error of the whole admin."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpResponse
from django.tasks.exceptions import InvalidTaskBackend, TaskResultDoesNotExist
from django.utils.translation import gettext as _

from dlq import ConfigError, StoreError
from dlq_admin.visit import Visit

__all__ = ["OUTAGES", "shows_outages"]

OUTAGES = (StoreError, ConfigError, InvalidTaskBackend)
"""What a store raises that cannot be asked, or is not set up."""


def shows_outages(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view that shows a page of its own for an outage, and for what is not there (any more)."""

    @wraps(view)
    def serve(visit: Visit, **kwargs: Any) -> HttpResponse:
        try:
            return view(visit, **kwargs)
        except OUTAGES as error:
            return visit.page("outage", _("The store cannot be asked"), status=503, reason=str(error))
        except (Http404, TaskResultDoesNotExist) as error:
            return visit.page("missing", _("Not there"), status=404, reason=str(error))

    return serve
