"""What connects a runner with its customers; `registry` has the kinds."""
