"""The run-time type checker of the tests: beartype, with an int allowed where a float is meant (as type checkers do)."""

from beartype import BeartypeConf, beartype

typechecked = beartype(conf=BeartypeConf(is_pep484_tower=True))
