"""Fuzz targets for the Rust decoder (libFuzzer), and a short run of them."""
