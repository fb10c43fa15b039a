"""Many hosts without a server of ours: each ships Parquet to a bucket, any of them asks it."""
