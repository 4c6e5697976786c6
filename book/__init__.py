"""The book: lessons, notebooks and diffs as one site, in English and Chinese (make book)."""
