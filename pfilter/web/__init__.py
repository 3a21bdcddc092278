"""The web side of the downloads: an embedded server, configurations for others, and a check of whichever it is."""
