"""Names, records and settings: what every other room builds on."""
