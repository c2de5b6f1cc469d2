"""Record to telemetry."""
