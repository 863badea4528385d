"""What runs jobs: a runner, its service process, and its workers."""
