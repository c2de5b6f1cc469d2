"""Remove a person from what we store, and say what could not be reached."""
