"""What Gradio's own clients are told of `/generate`: names, types, choices and ranges."""

from gradio_client import Client

from sdxs.service.options import OPTIONS
from tests.forms.conftest import ABOUT


def test_generate_says_what_it_takes(page):
    told = Client(page.address, verbose=False).view_api(return_format="dict")
    parameters = told["named_endpoints"]["/generate"]["parameters"]
    types = {one["parameter_name"]: one["type"] for one in parameters}
    known = [row.field for row in OPTIONS if row.programs and row.place != "nowhere"]
    assert list(types) == known
    whole, typed = types["seed"]["anyOf"]
    assert (whole["type"], whole["minimum"], whole["maximum"]) == ("integer", 0, 2**63 - 1)
    assert typed == {"type": "string"} and types["to_seed"] == types["seed"]
    assert types["style"]["enum"] == ["", *ABOUT.styles]
    assert types["template"]["enum"] == ["", *ABOUT.templates]
    assert types["decoder"]["enum"] == ["", *ABOUT.decoders]
    assert types["condition"]["enum"] == list(ABOUT.conditions)
    assert types["strength"]["type"] == "number" and "0 and 2" in types["strength"]["description"]
