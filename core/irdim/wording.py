"""Numbers in sentences."""


def number_of(n: int, noun: str, plural: str = "") -> str:
    """'1 frame', '2 frames'; plural: where it is not the noun with an s."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"
