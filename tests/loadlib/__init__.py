"""What tests/load is made of."""
