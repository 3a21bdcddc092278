"""A gateway in a folder, faults for it, and one oracle for whatever comes of them."""
