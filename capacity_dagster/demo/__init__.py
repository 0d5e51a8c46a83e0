"""The demonstration site that is shipped with the package."""
