"""Who is at work, as it is written down with what is decided, marked or imported."""

import getpass

from irdim.errors import InputError


def login_name(otherwise: str | None = None) -> str:
    """The login name; where the system knows none, `otherwise`. Raises InputError, naming --by, where that is None."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        if otherwise is None:
            raise InputError("your login name is not known here; say who you are with --by NAME") from None
        return otherwise
