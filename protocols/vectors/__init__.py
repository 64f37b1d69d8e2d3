"""Good and bad messages of every type, and the script that makes them (`make.py`); see `README.md`."""
