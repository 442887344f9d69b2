"""Data that ships with the package: see SOURCES.md beside this file."""
