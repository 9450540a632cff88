"""Owns how a setting is named in the environment. Knows no setting."""

ENV_PREFIX = "CONNECTOR_"


def variable_name(path: tuple[str, ...]) -> str:
    """Return the environment variable of the setting at `path`: `("http", "port")` is `CONNECTOR_HTTP__PORT`."""
    return ENV_PREFIX + "__".join(path).upper()
