"""One folder per table: query.sql, contract.yaml and checks/. Found with importlib.resources."""
