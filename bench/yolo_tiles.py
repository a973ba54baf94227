"""Where tiles lie; both sides of bench/yolo.py use it, so it imports nothing."""


def tiles(width: int, height: int, tile: int) -> list[tuple[int, int]]:
    """Corners (x, y) of the fewest tiles that cover a frame, each a quarter of its side or more over its neighbours."""
    return [(x, y) for y in _starts(height, tile) for x in _starts(width, tile)]


def _starts(length: int, tile: int) -> list[int]:
    if length <= tile:
        return [0]
    steps = -(-(length - tile) // (tile - tile // 4))
    return [round(i * (length - tile) / steps) for i in range(steps + 1)]
