"""The real command line with shorter waits, run as a module in place of `connector`: minutes are seconds, no more.

Transactions are small, too, so that a few hundred results take several.
"""

import os

from connector import cli
from connector.batch import bus_ledger, pace, publish
from connector.kafka import clients, transaction
from connector.x import batch_api
from connector.x.backoff import Exponential

ATTEMPT_S = 3.0
"""How long a transaction may take."""
HEARTBEAT_S = 0.5
"""How often a runner that waits says so."""
SILENT_S = 5.0
"""How long a runner is silent that another one takes for gone."""
RATE_LIMIT_S = 2.0
"""The least wait after a 429."""
ANSWERS = 100
"""How many answers a transaction holds."""
TRIES_VARIABLE = "TEST_TRIES"
"""The environment variable for how often a transaction is tried."""


def _hurry() -> None:
    pace._POLL = Exponential(0.5, 0.5)  # noqa: SLF001 - no setting of the product
    pace._RETRY = Exponential(0.5, 0.5)  # noqa: SLF001 - no setting of the product
    bus_ledger.HEARTBEAT_S = HEARTBEAT_S
    bus_ledger.SILENT_S = SILENT_S
    bus_ledger._LOOK_S = 0.25  # noqa: SLF001 - no setting of the product
    bus_ledger._RETRY_S = 0.25  # noqa: SLF001 - no setting of the product
    bus_ledger._MOST_TRIES = int(os.environ.get(TRIES_VARIABLE, bus_ledger._MOST_TRIES))  # noqa: SLF001 - no setting of the product
    bus_ledger.SLOW_COMMIT_S = 0.4  # type: ignore[attr-defined] # imported there
    publish._ANSWERS_A_TRANSACTION = ANSWERS  # noqa: SLF001 - no setting of the product
    transaction.DEADLINE_S = ATTEMPT_S
    transaction.INIT_DEADLINE_S = 2.0
    clients.TRANSACTION_TIMEOUT_MS = 4_000
    clients.RETRY_BACKOFF_MS = 600  # longer than a slow commit, as in the product
    batch_api.MIN_RATE_LIMIT_WAIT_S = RATE_LIMIT_S  # type: ignore[attr-defined] # imported there


if __name__ == "__main__":
    _hurry()
    cli.main()
