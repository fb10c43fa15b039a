"""Answers over months and tiers: what left SQLite as Parquet, and SQL over all of it (extra `analytics`)."""
