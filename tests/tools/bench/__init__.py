"""What tests/tools/bench is made of. The standard library alone."""
