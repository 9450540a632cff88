"""The tree of our errors: the class says what the caller must do.

    ConnectorError                 anything we raise on purpose; `exit_code` is what the process ends with
    ├── SettingsError              the operator must correct settings (78)
    │   └── WrongServerError       the same, or wait: a proxy may answer until a server is there
    ├── MissingExtraError          the operator must install an extra of the package (78)
    ├── NotProvisionedError        the operator must run `connector provision`, or grant a right (78)
    │   └── UnfitTopicsError       the same, and waiting cannot help: something has the wrong form
    ├── DependencyUnavailableError wait and try again; past the start deadline, give up (69)
    ├── OwnCorruptionError         stop that partition; a person must look (70)
    │   └── TopicsChangedError     the same, but the ledger is sound: a topic has changed
    ├── HungError                  end the process, so that others take over (70)
    └── WriterLostError            drop the producer and its state, and restart from the ledger
        └── FencedError            the same, but another replica may be the owner: wait first

Foreign exceptions become one of these at the seam where the foreign library is called.
"""

import os

UNEXPECTED = 1
"""Exit code of a process that an unexpected exception ends."""


class ConnectorError(Exception):
    """Base of all errors raised on purpose: `lines` are its text, each shown as one line."""

    exit_code = os.EX_SOFTWARE

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class SettingsError(ConnectorError):
    """Settings are missing or wrong: every problem at once, one line each."""

    exit_code = os.EX_CONFIG

    def __init__(self, problems: list[str]) -> None:
        super().__init__("settings are missing or wrong:", *(f"  {problem}" for problem in problems))
        self.problems = problems


class WrongServerError(SettingsError):
    """What answers at an address is not the server that the settings name: another one, or a proxy in front of it."""


class MissingExtraError(ConnectorError):
    """A command needs packages that come with an extra."""

    exit_code = os.EX_CONFIG

    def __init__(self, extra: str, cause: ImportError) -> None:
        super().__init__(
            f"the extra {extra} is not installed ({cause}); in a checkout: pip install '.[{extra}]'; with a wheel: "
            f"pip install 'FILE.whl[{extra}]'; requirements/{extra}.txt locks what it needs",
            f"the image is without the extra {extra}: instead, run make {extra} or docker compose up in a checkout",
        )


class NotProvisionedError(ConnectorError):
    """A topic, a subject or a right is missing, or not what the connector needs."""

    exit_code = os.EX_CONFIG


class UnfitTopicsError(NotProvisionedError):
    """A topic or a schema id exists in the wrong form, which only a person can change."""


class DependencyUnavailableError(ConnectorError):
    """Kafka, the registry, or the probed service does not answer as it should."""

    exit_code = os.EX_UNAVAILABLE


class OwnCorruptionError(ConnectorError):
    """The ledger cannot be read or contradicts itself."""

    exit_code = os.EX_SOFTWARE


class TopicsChangedError(OwnCorruptionError):
    """Topics of a stream partition have changed in a way that would break a guarantee."""


class HungError(ConnectorError):
    """A thread of this process is hung."""

    exit_code = os.EX_SOFTWARE


class WriterLostError(ConnectorError):
    """The outcome of a transaction is unknown, or its producer can no longer be used."""


class FencedError(WriterLostError):
    """Another process may own the stream partition.

    Its entry is in our place, Kafka refused our producer, or this process was paused.
    """
