"""DICOM Structured Reports of what was found: whose they are, what they say, how they are kept."""
