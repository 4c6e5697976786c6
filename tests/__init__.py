"""What learners run: the tests of the six steps, and what these need."""
