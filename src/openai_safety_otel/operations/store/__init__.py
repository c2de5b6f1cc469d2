"""Read events back: OTLP JSON files through DuckDB, or Loki through its HTTP API, as one typed table."""
