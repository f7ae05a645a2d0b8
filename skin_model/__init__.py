"""Dermoscopy decision support: data, networks, calibrated predictions and their explanations."""

import sys

__version__ = "0.1.0"

# OpenVINO's converter would report its use to its makers, from a fork of the converting process, in which a matrix
# product under way then hangs for ever.  Where this package of its is missing it reports nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
