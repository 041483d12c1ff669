"""Registration of one subject's scans; the only package that imports ants."""
