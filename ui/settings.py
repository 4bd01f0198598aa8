"""What the app itself may be told: how long documents are kept, how many visitors and requests it takes at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rag_core import ConfigError

__all__ = ["ENVIRONMENT", "AppSettings"]


@dataclass(frozen=True, slots=True)
class AppSettings:
    """Limits of one server process; times are in seconds.

    A visitor's documents go when the page is closed (after `grace_seconds`, in which a dropped connection may return),
    after `idle_seconds` without a request, and at `age_seconds` in any case. Verdicts on answers go to `feedback_file`;
    where it is "off" none are asked for.
    """

    idle_seconds: float = 3_600.0
    age_seconds: float = 86_400.0
    grace_seconds: float = 20.0
    visitors: int = 200
    queue_size: int = 32
    answers_at_once: int = 2
    uploads_at_once: int = 2
    warm_up: bool = True
    feedback_file: str = "feedback.jsonl"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> AppSettings:
        """Return the defaults changed by the `APP_*` variables of `ENVIRONMENT`. Raises ConfigError."""
        environ = os.environ if environ is None else environ
        settings = cls()
        for variable, (name, _) in ENVIRONMENT.items():
            if value := environ.get(variable):
                settings = replace(settings, **{name: _parse(variable, value, getattr(settings, name))})  # type: ignore[arg-type]
        return settings


ENVIRONMENT: dict[str, tuple[str, str]] = {
    "APP_IDLE_SECONDS": ("idle_seconds", "documents are deleted after this long without a request"),
    "APP_AGE_SECONDS": ("age_seconds", "documents are deleted after this long in any case"),
    "APP_GRACE_SECONDS": ("grace_seconds", "time in which a dropped page may come back before its documents go"),
    "APP_VISITORS": ("visitors", "most visitors with documents at one time"),
    "APP_QUEUE_SIZE": ("queue_size", "most questions waiting; beyond that a visitor is asked to try again"),
    "APP_ANSWERS_AT_ONCE": ("answers_at_once", "answers being prepared at one time"),
    "APP_UPLOADS_AT_ONCE": ("uploads_at_once", "documents being read at one time"),
    "APP_FEEDBACK_FILE": ("feedback_file", "where verdicts on answers are kept; off: none are asked for"),
    "APP_WARM_UP": ("warm_up", "load the models at start (true) or at the first question (false)"),
}


def _parse(variable: str, value: str, current: float | bool | str) -> float | bool | str:
    """Turn `value` into the type of `current`, above zero for a number."""
    if isinstance(current, str):
        return value
    try:
        if isinstance(current, bool):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.lower()]
        number = type(current)(value)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{variable} is {value!r}; a {type(current).__name__} is needed") from error
    if not number > 0:
        raise ConfigError(f"{variable} is {value!r}; it must be above 0")
    return number
