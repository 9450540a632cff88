"""A run that X, or something in its place, leads elsewhere: nothing is sent there, neither ids nor token."""

import os
from collections import Counter
from typing import get_args

import pytest

from connector.simulator.batch.faults import BatchAnswer, BatchUrl, Call, Transfer, Url
from connector.x.transfers import TransferNotAllowedError
from tests.unit.batch.runs import PLAIN, Operator

pytestmark = pytest.mark.slow

_REFUSED = "^refused a transfer URL from X: "
_NOT_SAFE = "must be https, with a host and without a user name$"
_WORDS: dict[Url, str] = {
    "foreign-host": rf"{_REFUSED}http://127\.0\.0\.1:\d+ is not in CONNECTOR_X__TRANSFER_ORIGINS$",
    "host-as-user": rf"{_REFUSED}http://127\.0\.0\.1:\d+ {_NOT_SAFE}",
    "user-info": rf"{_REFUSED}http://127\.0\.0\.1:\d+ {_NOT_SAFE}",
    "plain-http": rf"{_REFUSED}http://transfers\.invalid {_NOT_SAFE}",
    "other-job": rf"{_REFUSED}it is not one of job \d+$",
    "relative": rf"{_REFUSED}:// {_NOT_SAFE}",
    "nonsense": rf"{_REFUSED}:// {_NOT_SAFE}",
}


@pytest.mark.parametrize("transfer", get_args(Transfer))
@pytest.mark.parametrize("how", get_args(Url))
def test_url_that_leads_elsewhere_is_not_followed(operator: Operator, how: Url, transfer: Transfer) -> None:
    """The run ends and says where to; the slot is free, and the next run comes to its end."""
    operator.arm(BatchUrl(how=how, transfer=transfer, times=None))
    with pytest.raises(TransferNotAllowedError, match=_WORDS[how]) as caught:
        operator.run()
    assert caught.value.exit_code == os.EX_CONFIG
    assert operator.sim.fired["batch-url"] >= 1
    calls = operator.calls()
    assert (calls["foreign"], calls[transfer]) == (0, 0)
    assert calls["cancel"] == (transfer == "upload")
    assert operator.sim.jobs.listed("tweets", "created") == []
    operator.sim.faults.disarm()
    operator.check(operator.run())


@pytest.mark.parametrize("how", ["foreign-host", "host-as-user", "user-info", "plain-http"])
def test_url_of_storage_that_leads_elsewhere_is_not_followed(anywhere: Operator, how: Url) -> None:
    """Neither where X's own has the token, nor where its storage has none."""
    anywhere.arm(BatchUrl(how=how, times=None))
    with pytest.raises(TransferNotAllowedError, match=_WORDS[how]):
        anywhere.run()
    assert anywhere.calls() == {"list": 2, "create": 1, "cancel": 1}


def test_storage_that_is_not_on_the_list_gets_nothing(anywhere: Operator) -> None:
    """As it is by default, but for X's own; the next run may have it on its list."""
    allowed = anywhere.settings
    anywhere.settings = allowed.model_copy(update={"transfer_origins": ("https://storage.googleapis.com",)})
    if "storage" in anywhere.sim.origins:
        with pytest.raises(TransferNotAllowedError, match="is not in CONNECTOR_X__TRANSFER_ORIGINS"):
            anywhere.run()
        assert anywhere.calls() == {"list": 2, "create": 1, "cancel": 1}
        anywhere.settings = allowed
    anywhere.check(anywhere.run())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(anywhere: Operator, status: int) -> None:
    """By no call and no transfer: each is asked for again where it is."""
    calls: tuple[Call, ...] = ("list", "create", "get", "upload", "download")
    fired = anywhere.arm(*(BatchAnswer(call=call, status=status) for call in calls))
    anywhere.check(anywhere.run())
    assert anywhere.sim.fired == fired
    assert anywhere.calls() == PLAIN + Counter(list=1, create=1, upload=1, download=1, get=3)
