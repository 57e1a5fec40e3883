"""Reading DICOM: opening, classifying, decoding, geometry, rendering, identity."""

import logging

# pydicom quotes element values in its log messages, and those can be a patient's.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False
