"""What every page shares: its frame and the pieces it is made of."""
