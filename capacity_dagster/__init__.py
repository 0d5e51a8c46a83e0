"""capacity-dagster: where every accelerator-hour went, and what it cost."""
