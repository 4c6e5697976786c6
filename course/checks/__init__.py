"""The checks of the course itself. A learner never waits for them."""
