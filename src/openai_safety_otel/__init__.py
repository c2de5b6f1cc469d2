"""Safety observability for products built on the OpenAI API."""
