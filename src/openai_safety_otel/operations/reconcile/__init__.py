"""The provider's own count of requests beside our record: what is dark, by project, API key and model."""
