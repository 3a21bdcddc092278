"""What tests/bench is made of. The standard library alone."""
