"""From a file to what the catalog will hold: runs in worker processes, knows no database."""
