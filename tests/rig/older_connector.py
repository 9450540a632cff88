"""The real command line of a release that does not know some event types yet; run in place of `connector`.

Its catalog lacks the types that `FORGOTTEN` names, joined by commas, and all that follows from the catalog does.
"""

import os

from connector.events import catalog

VARIABLE = "FORGOTTEN"

if __name__ == "__main__":
    _forgotten = set(os.environ[VARIABLE].split(","))
    _known = tuple(each for each in catalog.EVENT_TYPES if each.name not in _forgotten)
    catalog.EVENT_TYPES = _known  # type: ignore[assignment] # mypy counts them
    catalog.BY_X_TYPE = {(each.stream, each.x_type): each for each in _known}
    catalog.BY_NAME = {each.name: each for each in _known}

    from connector import cli

    cli.main()
