"""hem: a verifier for hardware-enabled mechanisms in AI accelerators."""
