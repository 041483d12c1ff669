"""Wrong headers and wrong arguments by the hundred; ``python -m tests.fuzzing`` makes the table."""
