"""How good a model is, how its probabilities are calibrated, and the card that says so."""
