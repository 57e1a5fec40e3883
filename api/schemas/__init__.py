"""What goes over HTTP: one module a tag."""
