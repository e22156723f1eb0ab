"""Which pixels have a symbol already, so that a crowd in one place is drawn once."""

_TILE = 16


class Spots:
    """Pixels by a number of their own: of the class of symbol, say. Takes memory where it is used
    only: a tile of 16 by 16 pixels at a time."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int, int], bytearray] = {}

    def take(self, group: int, x: float, y: float) -> bool:
        """True the first time that the pixel around x, y is taken for ``group``."""
        column, row = int(x), int(y)
        key = (group, column // _TILE, row // _TILE)
        tile = self._tiles.get(key)
        if tile is None:
            tile = self._tiles[key] = bytearray(_TILE * _TILE // 8)
        at = row % _TILE * _TILE + column % _TILE
        mask = 1 << (at & 7)
        if tile[at >> 3] & mask:
            return False
        tile[at >> 3] |= mask
        return True
