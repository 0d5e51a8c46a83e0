"""Tables as `assets_sql` describes them: contracts, queries, checks and what follows from them."""
