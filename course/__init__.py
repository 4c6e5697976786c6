"""What keeps the course true: the learner's loop, the pages, the mistakes and the checks."""
