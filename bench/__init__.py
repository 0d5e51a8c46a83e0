"""How fast the product is, against a reference by hand and others, on generated sites. `python -m bench --help`."""
