"""What scripts/bench-sound is made of."""
