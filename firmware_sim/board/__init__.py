"""A reference firmware in C for a development board, its build, and the factory that makes an image of it."""
