"""The site file that `capacity init` writes."""
