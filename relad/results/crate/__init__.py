"""A finished study as an RO-Crate: its tables, figures and records, described for machines."""
