"""`bbq`, the command-line tool, and the operator's tools that it is made of."""
