"""The faces: one service function per use case, and the command line over them."""
