"""The JavaScript that draws charts: Vega, Vega-Lite and Vega-Embed in one text, as in Altair's offline pages."""

import pkgutil
import re
from functools import cache

import altair as alt
import vl_convert

# What would end a script in the middle of HTML, or let a later one end it (HTML, section 4.12.1.3).
_ENDS = re.compile(r"</script|<!--|<script", re.IGNORECASE)


@cache
def script(own: str) -> str:
    """Return a script that runs `own`, which finds the function `vegaEmbed`, with all that it needs; none is fetched.

    The libraries are in a package, in the versions that Altair writes charts for.

    Raises:
        ValueError: it cannot stand in a page as it is.
    """
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    text = vl_convert.javascript_bundle(own, vl_version=version)
    if found := _ENDS.search(text):
        raise ValueError(f"the bundle has {found.group()!r} at {found.start()}: this version cannot stand in a page")
    return text.replace("\r\n", "\n").replace("\r", "\n")  # as a reader of HTML does, before it takes the digest


def notices() -> str:
    """Return the notices of what is in the bundle, which its licenses ask every copy of it to have."""
    return (pkgutil.get_data(__package__ or "", "notices.txt") or b"").decode()


def versions() -> str:
    """Return what the charts are drawn with."""
    lite, vega = alt.SCHEMA_VERSION.removeprefix("v"), vl_convert.get_vega_version()
    return f"Altair {alt.__version__}, Vega-Lite {lite}, Vega {vega}"
