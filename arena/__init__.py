"""The demonstration: every server side by side, live in a browser. See make arena."""
