"""What all files of rules share: strict models, and a fault told in one line with file and key."""

import hashlib
import re
import tomllib
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hem.errors import UsageError

MOST_TPP = 10**9  # of one chip: with MOST_CHIPS of them a sum stays below 2**63
MOST_CHIPS = 10**9
_COUNTRY = re.compile(r"[A-Z]{2}")


class Text(BaseModel):
    """A table of a file: no key that is not known, no value of another type, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_Model = TypeVar("_Model", bound=Text)


def _country(code: str) -> str:
    if not _COUNTRY.fullmatch(code):
        raise ValueError(f"{code!r} is not an ISO 3166-1 alpha-2 code such as DE")
    return code


Country = Annotated[str, AfterValidator(_country)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Words = Annotated[str, Field(min_length=1, max_length=600)]
Note = Annotated[str, Field(max_length=600)]


def read(kind: type[_Model], data: bytes, where: str) -> tuple[_Model, str]:
    """Return what a TOML file holds, and its digest: SHA-256 of its bytes, in hex, as `sha256sum` prints it.

    Raises:
        UsageError: the first fault, in one line, with the file and the key.
    """
    try:
        value = tomllib.loads(data.decode(), parse_float=Decimal)
        return kind.model_validate(value), hashlib.sha256(data).hexdigest()
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: byte {error.start} is not UTF-8, expected TOML") from error
    except ValidationError as error:
        raise UsageError(f"{where}: {_first(error)}") from error
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UsageError(f"{where}: not TOML: {error or type(error).__name__}") from error


def _first(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "file"
    more = f" (and {error.error_count() - 1} more faults)" if error.error_count() > 1 else ""
    return f"{key}: {first['msg']}{more}"
