"""What of a page's Gradio is open to the network, as `sdxs/server/calls.py` checks it.

Knows nothing of what is on the page.
"""

import inspect
from typing import Any

import gradio as gr

from sdxs.server.calls import Function, Interface

TYPED: dict[Any, str] = {  # the rest is text, see `calls.KINDS`
    gr.Slider: "a number",
    gr.Number: "a number",
    gr.Checkbox: "true or false",
}


def interface(page: gr.Blocks) -> Interface:
    """Functions for programs, those that the page's own scripts call, and what is awaited."""
    queue = page._queue

    def serves(component: int, name: str) -> bool:
        return getattr(getattr(page.blocks.get(component), name, None), "_is_server_fn", False)

    def awaits(name: str) -> bool:
        events = queue.event_ids_to_events, *queue.pending_event_ids_session.values()
        return name in queue.pending_messages_per_session or any(name in ids for ids in events)

    def function(one: Any) -> Function:
        names = inspect.signature(one.fn).parameters
        kinds = [TYPED.get(type(component), "text") for component in one.inputs]
        return Function(str(one.api_name), dict(zip(names, kinds, strict=True)))

    public = {
        number: function(one)
        for number, one in page.fns.items()
        if one.fn and one.api_visibility == "public"
    }
    return Interface(public, serves, awaits)


def forget(page: gr.Blocks) -> None:
    """Names of what was heard, or can be heard no longer: Gradio keeps those of all sessions, and
    what there is to hear of the last 2,000."""
    names, heard = page._queue.pending_event_ids_session, page._queue.pending_messages_per_session
    for name in [name for name, events in names.items() if not events or name not in heard]:
        del names[name]
