"""Groups of rows that hang together: union-find over arrays, many links at a time."""

from __future__ import annotations

import numpy as np

from mmfs.store.keys import Int64s


class Unions:
    """Rows 0 to n - 1, each in a group of its own at first. A group is known by its lowest row."""

    def __init__(self, rows: int) -> None:
        self._parent = np.arange(rows, dtype=np.int64)

    def link(self, left: Int64s, right: Int64s) -> None:
        """Put row ``left[i]`` and row ``right[i]`` into one group, for every i."""
        while len(left):
            one, other = self.roots(left), self.roots(right)
            apart = one != other
            left, right, one, other = left[apart], right[apart], one[apart], other[apart]
            # A root that is linked to several takes the lowest; the next round sees to the others.
            np.minimum.at(self._parent, np.maximum(one, other), np.minimum(one, other))

    def roots(self, rows: Int64s) -> Int64s:
        """The group of each row, int64 [n].

        >>> unions = Unions(5)
        >>> unions.link(np.array([3, 1]), np.array([1, 4]))
        >>> unions.roots(np.arange(5)).tolist()
        [0, 1, 2, 1, 1]
        """
        found = self._parent[rows]
        while not np.array_equal(above := self._parent[found], found):
            found = above
        self._parent[rows] = found
        return found

    def all(self) -> Int64s:
        """The group of every row, int64 [rows]."""
        return self.roots(np.arange(len(self._parent)))
