"""Frozen values at a fraction of the price of dataclasses.

Importing dataclasses costs some 12 ms (it brings inspect, re, typing), as much as starting Python. A message that
needs nothing must not pay that. Type checkers see a frozen dataclass; at run time a value is a dictionary of the
annotated names that refuses assignment, and to be made of anything but its fields.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_options):
        """Stand in for typing.dataclass_transform, which only type checkers need."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Frozen:
    """Base of all values: fields are the annotated names of the class, in order; class attributes are defaults."""

    _fields: "tuple[str, ...]"
    _names: "frozenset[str]"
    _required: "frozenset[str]"  # those without a default

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)
        cls._names = frozenset(cls._fields)
        cls._required = cls._names - vars(cls).keys()

    if not TYPE_CHECKING:

        def __init__(self, *args, **named):
            # Most values are made by all their names, which one comparison in C finds.
            if args or named.keys() != self._names:
                named = self._checked(args, named)
            self.__dict__.update(named)

        def _checked(self, args, named):
            given = dict(zip(self._fields, args, strict=False))
            given.update(named)
            if len(given) == len(args) + len(named) and self._required <= given.keys() <= self._names:
                return given
            raise TypeError(f"{type(self).__name__}: {'; '.join(self._wrong(args, named, given))}")

        def _wrong(self, args, named, given):
            if len(args) > len(self._fields):
                yield f"{len(args)} values for {len(self._fields)} fields"
            twice = self._fields[: len(args)]
            for wrong, names in (
                ("missing", [name for name in self._fields if name in self._required and name not in given]),
                ("unknown", [name for name in named if name not in self._names]),
                ("given twice", [name for name in named if name in twice]),
            ):
                if names:
                    yield f"{wrong}: {', '.join(names)}"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be set")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self._values(), strict=True))
        return f"{type(self).__name__}({shown})"

    def _values(self) -> "tuple[object, ...]":
        return tuple(getattr(self, name) for name in self._fields)

    def replace(self, **changes: "Any") -> "Self":
        """Return a copy with some fields changed."""
        named: Any = {**self.__dict__, **changes}
        return type(self)(**named)
