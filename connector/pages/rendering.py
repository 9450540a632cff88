"""HTML from templates: all text escaped, control characters made visible, one style sheet allowed by its hash.

Must not know the content of a page.
"""

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from connector.pages.words import ago, counted, duration, instant
from connector.terminal import visible

_STYLE = "style.css"


def render(template: str, **values: object) -> str:
    """Return the HTML of a template of this package, filled with values.

    Raises `jinja2.UndefinedError` if it names a missing value.
    """
    return _environment().get_template(template).render(style=style(), policy=content_policy(), **values)


@cache
def style() -> Markup:
    """Return the style sheet of all pages."""
    environment = _environment()
    assert environment.loader is not None  # noqa: S101 - it was made with one
    text, _, _ = environment.loader.get_source(environment, _STYLE)
    return Markup(text)  # noqa: S704 - our own file


@cache
def content_policy() -> str:
    """Return the Content-Security-Policy of all pages: nothing is loaded or run, and only our style applies."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("connector.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters |= {"instant": instant, "duration": duration, "ago": ago, "counted": counted}
    return environment


def _finalize(value: Any) -> Any:  # noqa: ANN401 - whatever a template shows
    """Return the text of a value, before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
