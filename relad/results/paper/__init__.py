"""A skeleton of the study's paper in LaTeX: tables, figures, methods and numbers as they are."""
