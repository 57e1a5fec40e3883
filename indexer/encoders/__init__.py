"""Encoders: they turn pixels into vectors."""
