"""How a synthetic lesion is drawn: canvas, tissue, and the look of each class."""
