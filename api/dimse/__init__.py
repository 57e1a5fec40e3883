"""DICOM over associations: a node that objects are sent to."""
