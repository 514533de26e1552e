"""Twelve mistakes that platforms of this kind have made: a test each, named after it, short; the rest is elsewhere."""
