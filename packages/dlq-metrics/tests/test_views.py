from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import RequestFactory
from django.urls import reverse
from pytest_django import Settings

from dlq import MemoryBackend
from dlq.testing.contract.builders import OUTCOMES, add_many, claim_one, register, settle
from dlq_metrics import views
from dlq_metrics.fleet import Fleet

TOKEN = "correct horse"
STAFF = SimpleNamespace(is_active=True, is_staff=True)
CUSTOMER = SimpleNamespace(is_active=True, is_staff=False)
GONE = SimpleNamespace(is_active=False, is_staff=True)


@pytest.fixture(autouse=True)
def fleet(memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_fleet", Fleet())
    worker = register(memory.store)
    add_many(memory.store, 2, queue="mail")
    settle(memory.store, worker, OUTCOMES["succeeded"](claim_one(memory.store, worker, queues=["mail"])))


def _get(view: Any, user: Any = None, **headers: str) -> Any:
    request = RequestFactory().get("/", headers=headers)
    request.user = user
    return view(request)


@pytest.mark.parametrize("view", [views.metrics, views.stats])
@pytest.mark.parametrize(
    ("user", "authorization", "status"),
    [
        (None, "", 401),
        (CUSTOMER, "", 401),
        (GONE, "", 401),
        (STAFF, "", 200),
        (None, f"Bearer {TOKEN}", 200),
        (None, f"bearer {TOKEN}", 200),
        (None, "Bearer wrong", 401),
        (None, "Bearer ", 401),
        (None, "Bearer é", 401),
        (None, f"Basic {TOKEN}", 401),
        (STAFF, "Bearer wrong", 401),
    ],
)
def test_figures_are_for_staff_and_those_who_have_the_token(
    settings: Settings, view: Any, user: Any, authorization: str, status: int
) -> None:
    settings.DLQ_METRICS_TOKEN = TOKEN
    response = _get(view, user, authorization=authorization)
    assert response.status_code == status
    assert ("dlq_jobs" in response.content.decode()) == (status == 200 and view is views.metrics)
    assert response.headers.get("WWW-Authenticate") == (None if status == 200 else 'Bearer realm="DLQ"')


def test_without_a_token_no_token_opens(settings: Settings) -> None:
    for given in ("Bearer ", "Bearer None", ""):
        assert _get(views.metrics, authorization=given).status_code == 401


def test_a_site_may_open_them_to_everybody(settings: Settings) -> None:
    settings.DLQ_METRICS_PUBLIC = True
    assert _get(views.metrics).status_code == 200


def test_a_site_without_users_is_closed() -> None:
    assert views.metrics(RequestFactory().get("/")).status_code == 401


def test_nothing_is_changed_by_asking(settings: Settings) -> None:
    settings.DLQ_METRICS_PUBLIC = True
    assert views.metrics(RequestFactory().post("/")).status_code == 405


def test_json_tells_the_same_figures() -> None:
    told = json.loads(_get(views.stats, STAFF).content)["backends"]["default"]
    assert told["up"] is True
    assert told["queues"]["mail"]["jobs"] == {"ready": 1, "succeeded": 1}
    (total,) = told["totals"]
    assert (total["queue"], total["enqueued"], total["succeeded"], total["seconds"]) == ("mail", 2, 1, 1.0)
    (runner,) = told["runners"]
    assert (runner["id"], runner["workers"], runner["slots"]) == ("runner-1", 1, 1)
    assert told["schedules"] == {}


def test_the_urls_are_included_under_one_name(settings: Settings) -> None:
    settings.ROOT_URLCONF = "dlq_metrics.urls"
    assert (reverse("metrics"), reverse("stats")) == ("/metrics", "/stats.json")
