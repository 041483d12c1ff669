"""The page of a study: everything it found, in one file of HTML that needs no network."""
