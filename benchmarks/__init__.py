"""One script per claim about speed or memory, each against what a user would do instead, in one run."""
