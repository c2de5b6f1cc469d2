"""Who a call is for: end users, keys, keyed hashes, and what looks like personal data."""
