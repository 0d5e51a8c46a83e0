"""What Dagster discovers: thin, without arithmetic."""
