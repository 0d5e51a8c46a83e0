"""Explaining a number: the chain of SQL, rows and source lines behind it."""
