"""Training of one network, resumable after any interruption."""
