"""The one error that people see: one line that says what is wrong, where, and what to do."""


class InputError(ValueError):
    """Bad input. The message is one line for the person who can act; command lines print it and exit with 2."""
