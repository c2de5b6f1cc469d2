"""The demo: a loopback provider, an ordinary chat app, and traffic."""
