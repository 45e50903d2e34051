"""Names of architectures: how a class gets one, and is found by it."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from superpos import check
from superpos.errors import ConfigError
from superpos.models.sae.base import FIELDS_OF_SOME, SPARSITY_FIELDS, Architecture

Class = TypeVar("Class", bound=type[Architecture])

# What every autoencoder has.
OF_ALL = ("W_dec", "W_enc", "b_enc", "b_dec", "frequency", "architecture")

# Architectures by the word that fields, sweep files and results use. Objects, not classes: an architecture that only stands
# here is no part of the identity of what others train.
ARCHITECTURES: dict[str, Architecture] = {}


def register_architecture(name: Any) -> Callable[[Class], Class]:
    """Give a class of sparse autoencoders the word by which the field `architecture` knows it; above the class.

    Another process must import the module that does this. The same class may be defined anew, as in a notebook.

    Raises:
        ConfigError: the name is no plain word or taken, or this is no class derived from `Architecture`, or something that it
            says of itself cannot be.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ConfigError(f'architecture must be named by a lower-case word such as "soft", got {name!r}.')

    def named(cls: Any) -> Any:
        if not (isinstance(cls, type) and issubclass(cls, Architecture)):
            raise ConfigError(f"architecture {name!r} must be a class that derives from superpos.models.Architecture.")
        if not isinstance(getattr(cls, "label", None), str):
            raise ConfigError(f"architecture {name!r} must have a label, the name that captions and legends show.")
        if not re.fullmatch(r"#[0-9A-Fa-f]{6}|[a-z]+", str(cls.color)):
            raise ConfigError(f"architecture {name!r} must have a color such as green or #009E73, got {cls.color!r}.")
        check.one_of(f"architecture {name!r}: sparsity_field", cls.sparsity_field, SPARSITY_FIELDS)
        for field in cls.reads:
            check.one_of(f"architecture {name!r}: reads", field, FIELDS_OF_SOME)
        for parameter in cls.latent_parameters:
            if not str(parameter).isidentifier() or parameter in OF_ALL:
                raise ConfigError(
                    f"architecture {name!r} must give its latent_parameters names of their own, got {parameter!r}."
                )
        if (other := ARCHITECTURES.get(name)) is not None and _full_name(type(other)) != _full_name(cls):
            raise ConfigError(f"architecture {name!r} is taken by {_full_name(type(other))}.")
        cls.name = name
        try:
            ARCHITECTURES[name] = cls()
        except TypeError as error:  # an abstract method is missing, or the constructor wants arguments
            raise ConfigError(f"architecture {name!r} cannot be made: {error}.") from None
        return cls

    return named


def architecture_of(name: Any) -> Architecture:
    """The architecture of this name.

    Raises:
        ConfigError: there is none.
    """
    check.one_of("architecture", name, tuple(ARCHITECTURES))
    return ARCHITECTURES[name]


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
