"""Texts that come back in thousands of rows: each lies once in the table ``names``, rows hold its number."""

import sqlite3

_UNKNOWN = -1


class Names:
    """Numbers of texts and texts of numbers, remembered; ``forget`` after a transaction that was rolled back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def number(self, text: str) -> int:
        """The text's number; it gets one if it has none."""
        found = self.known(text)
        if found == _UNKNOWN:
            self._connection.execute("INSERT INTO names (text) VALUES (?)", (text,))
            found = self.known(text)
        return found

    def known(self, text: str) -> int:
        """The text's number, or one that no row has."""
        if text not in self._numbers:
            row = self._connection.execute("SELECT id FROM names WHERE text = ?", (text,)).fetchone()
            if row is None:
                return _UNKNOWN
            self._numbers[text] = row[0]
        return self._numbers[text]

    def text(self, number: int) -> str:
        """The text of a number."""
        if number not in self._texts:
            row = self._connection.execute("SELECT text FROM names WHERE id = ?", (number,)).fetchone()
            self._texts[number] = row[0]
        return self._texts[number]

    def forget(self) -> None:
        """Remember nothing."""
        self._numbers.clear()
        self._texts.clear()
