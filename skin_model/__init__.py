"""Dermoscopy decision support: data, networks, calibrated predictions and their explanations."""

__version__ = "0.1.0"
