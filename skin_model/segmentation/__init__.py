"""The lesion's outline: a small network, trained on lesion masks, and what it answers without TensorFlow."""
