"""The demonstration: what a server does, live in a browser."""
