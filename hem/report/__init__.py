"""Edge: an audit as one page for people: HTML that needs no network, with a picture and a table of each figure.

The charts need the packages of the extra `report`, which only `charts` and `bundle` import, so that all other commands
start without them.
"""

from importlib import import_module

from hem.errors import UsageError
from hem.inspection import Inspected

__all__ = ["demand", "page"]


def demand() -> None:
    """Return if pages can be drawn here.

    Raises:
        UsageError: the packages of the extra `report` are not installed.
    """
    try:
        import_module("hem.report.bundle")
        import_module("hem.report.charts")
    except ImportError as error:
        raise UsageError(f"--html needs the package {error.name}: pip install 'hem[report]'") from error


def page(found: Inspected) -> bytes:
    """Return the page of an audit, UTF-8: the same bytes for the same log and the same versions of the packages."""
    drawn: bytes = import_module("hem.report.layout").page(found)
    return drawn
