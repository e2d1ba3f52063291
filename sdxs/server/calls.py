"""What may be posted to Gradio's routes: JSON of the shape that each expects, and nothing else.

Gradio checks late or not at all: a wrong body ends in a broken stream, in status 500, or in a file
that it reads. All is checked before it sees it. Knows nothing of Gradio itself: which functions
there are a page says by its `Interface`.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

LONE = re.compile(r"\\u[dD][89a-fA-F]")  # half of a character, perhaps without the other
JSON_TYPE = "application/json"


KINDS: dict[str, tuple[type, ...]] = {  # of a value, beside null
    "text": (str, int, float),
    "a number": (int, float),
    "true or false": (bool,),
}

PAGES = "pages"  # whose session all pages' calls are: Gradio makes a state for each, which takes
# longer than a call, and pages have none


class Refused(Exception):
    """A request that is not carried out: an HTTP status, one line."""

    def __init__(self, status: int, note: str) -> None:
        super().__init__(note)
        self.status, self.note = status, note


@dataclass(frozen=True)
class Function:
    """What programs may call. parameters: in order, and of which of `KINDS` their values are."""

    name: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Interface:
    """What a page answers. functions: those for programs, by their number. serves: whether a
    component, by its number, has a function for the page of this name. awaits: whether there is
    something to hear of a session, or of an event."""

    functions: Mapping[int, Function] = field(default_factory=dict)
    serves: Callable[[int, str], bool] = lambda component, name: False
    awaits: Callable[[str], bool] = lambda name: False


def checked(kind: str, name: str, type: str, body: bytes, interface: Interface) -> bytes:
    """The body that Gradio gets. kind: one of `CHECKS`. name: of the function, in the path. type:
    what the body says it is. Raises Refused."""
    if type.partition(";")[0].strip().lower() != JSON_TYPE:
        raise Refused(415, f"Send JSON, with the header Content-Type: {JSON_TYPE}.")
    given = _object(body)
    kept = CHECKS[kind](given, name, interface)
    return body if kept is given else json.dumps(kept).encode()


def check_stream(session: str, interface: Interface) -> None:
    """Raises Refused where there is nothing to hear."""
    if not interface.awaits(session):
        raise Refused(404, "Nothing is awaited under this name: it was answered, or never asked.")


def _object(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode()
        if LONE.search(text):
            json.dumps(json.loads(text), ensure_ascii=False).encode()
        found = json.loads(text, parse_constant=_number, parse_float=_number)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON in UTF-8.") from None
    if not isinstance(found, dict):
        raise Refused(422, "The body must be a JSON object.")
    return found


def _number(text: str) -> float:
    """Raises ValueError for what is infinite or none."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _served(given: dict[str, Any], name: str, interface: Interface) -> dict[str, Any]:
    component, function = _whole(given, "component_id"), _text(given, "fn_name")
    if not interface.serves(component, function):
        raise Refused(404, "There is no such function: reload the page.")
    _text(given, "session_hash")
    if "data" not in given:
        raise Refused(422, "data is missing.")
    return {**given, "session_hash": PAGES}


def _joined(given: dict[str, Any], name: str, interface: Interface) -> dict[str, Any]:
    number = _whole(given, "fn_index")
    if number not in interface.functions:
        raise _unknown(interface)
    return {
        "data": _values(given.get("data"), interface.functions[number]),
        "fn_index": number, "session_hash": _text(given, "session_hash"),
    }  # fmt: skip


def _called(given: dict[str, Any], name: str, interface: Interface) -> dict[str, Any]:
    data = {"data": _values(given.get("data"), _named(name, interface))}
    session = given.get("session_hash")
    return data if session is None else {**data, "session_hash": _text(given, "session_hash")}


def _called_by_names(given: dict[str, Any], name: str, interface: Interface) -> dict[str, Any]:
    function = _named(name, interface)
    for parameter, value in given.items():
        if parameter not in function.parameters:
            raise Refused(422, f"/{name} has no {parameter[:60]!r}: {_takes(function)}")
        _plain(parameter, value, function)
    return given


def _cancelled(given: dict[str, Any], name: str, interface: Interface) -> dict[str, Any]:
    return {
        "session_hash": _text(given, "session_hash"), "fn_index": _whole(given, "fn_index"),
        "event_id": _text(given, "event_id"),
    }  # fmt: skip


def _reset(given: dict[str, Any], name: str, interface: Interface) -> dict[str, Any]:
    return {"event_id": _text(given, "event_id")}


CHECKS: dict[str, Callable[[dict[str, Any], str, Interface], dict[str, Any]]] = {
    "server": _served,
    "join": _joined,
    "call": _called,
    "call by names": _called_by_names,
    "cancel": _cancelled,
    "reset": _reset,
}


def _named(name: str, interface: Interface) -> Function:
    for function in interface.functions.values():
        if function.name == name:
            return function
    raise _unknown(interface)


def _unknown(interface: Interface) -> Refused:
    names = ", ".join(f"/{function.name}" for function in interface.functions.values())
    return Refused(404, f"There is no such function; there is {names or 'none'}.")


def _takes(function: Function) -> str:
    return f"it takes {', '.join(function.parameters)}."


def _values(data: Any, function: Function) -> list[Any]:
    if not isinstance(data, list) or len(data) != len(function.parameters):
        count = f'{len(function.parameters)} values in a list, "data"'
        raise Refused(422, f"/{function.name} takes {count}: {', '.join(function.parameters)}.")
    for name, value in zip(function.parameters, data, strict=True):
        _plain(name, value, function)
    return data


def _plain(name: str, value: Any, function: Function) -> None:
    """An object may be the address of a file, which is neither fetched nor read."""
    kind = function.parameters[name]
    if value is not None and not isinstance(value, KINDS[kind]):
        raise Refused(422, f"{name} must be {kind}.")


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise Refused(422, f"{name} must be a text of at most 200 characters.")
    return value


def _whole(given: Mapping[str, Any], name: str) -> int:
    value = given.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**31:
        raise Refused(422, f"{name} must be a whole number.")
    return value
