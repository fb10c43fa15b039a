"""Answers over months and many tiers: what left SQLite as Parquet, and SQL over all of it (extra `analytics`)."""
