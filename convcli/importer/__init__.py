"""Networks of other programs as specs: a recorder (torch) fills a `Graph`, `document` names and writes it."""
