"""Routes under ``/v1``: one module a tag."""
