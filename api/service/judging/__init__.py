"""What is unlike a reference: fitting, scores, reasons, heat."""
