"""Delivered files: found, fingerprinted, recognised and read into typed records. No Dagster here."""
