"""What one machine needs instead of the cloud: files, keys, wake-ups, a Postgres."""
