"""What tests/tools/load is made of."""
