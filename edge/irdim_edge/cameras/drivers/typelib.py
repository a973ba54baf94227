"""Libraries of the system that are reached through GObject introspection."""

from typing import Any

from irdim.errors import InputError


def load_typelib(name: str, version: str, packages: str) -> Any:
    """A library by its namespace, such as Gst 1.0. packages: of Debian, that bring it. Raises InputError where it is absent."""
    try:
        import gi

        gi.require_version(name, version)
        return getattr(__import__("gi.repository", fromlist=[name]), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise InputError(
            f"camera.stream: {name}'s Python bindings cannot be imported ({error}); apt install python3-gi {packages}, "
            "in an environment made with --system-site-packages"
        ) from None
