"""Long sound in segments: the same frames as one encoder makes in one go."""
