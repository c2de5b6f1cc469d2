"""The end user as the app names them."""

from __future__ import annotations

from dataclasses import dataclass, field

from openai_safety_otel.who.detectors import LONGEST_IDENTIFIER


def blank(value: object) -> bool:
    """Whether a text names nobody: nothing in it can be seen."""
    return isinstance(value, str) and not any(char.isprintable() and not char.isspace() for char in value)


@dataclass(frozen=True, slots=True)
class EndUser:
    """The person (or anonymous session, or system job) a call is made for. ``repr`` shows no value."""

    id: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)
    identifier: str | None = field(default=None, repr=False)
    system: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot name anybody, at the line that wrote it."""
        for name in self.__slots__:
            value = getattr(self, name)
            if value is None or blank(value):
                object.__setattr__(self, name, None)
            elif isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, name, str(value))
            elif not isinstance(value, str):
                raise TypeError(f"end user {name}: expected str, got {type(value).__name__}")
            elif len(value) > LONGEST_IDENTIFIER:
                raise ValueError(f"end user {name}: longer than {LONGEST_IDENTIFIER} characters")

    def __bool__(self) -> bool:
        """False for nobody: every part empty or absent."""
        return bool(self.id or self.session or self.identifier or self.system)


def as_end_user(
    user: str | EndUser | None,
    *,
    session: str | None = None,
    identifier: str | None = None,
    system: str | None = None,
) -> EndUser | None:
    """One `EndUser` from the forms that people write; None for nobody."""
    if isinstance(user, EndUser):
        return user or None
    return EndUser(id=user, session=session, identifier=identifier, system=system) or None
