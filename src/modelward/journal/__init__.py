"""The journal: the host's history in SQLite, behind the Journal port."""
