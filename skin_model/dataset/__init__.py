"""Data sets of dermoscopic images: read and check them, split them by lesion, draw synthetic ones."""
