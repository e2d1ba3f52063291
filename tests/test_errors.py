"""What libraries say becomes an error of ours; a mistaken name leads to the one that was meant."""

import pickle

import pytest

from sdxs.errors import CheckpointError, InputError, PromptCutWarning, blaming, did_you_mean


def test_blaming() -> None:
    said = r"^x is bad \(no good\): try y$"
    with pytest.raises(CheckpointError, match=said) as told, blaming("x is bad", ": try y"):
        raise OSError("no\ngood")
    assert told.value.__suppress_context__
    for error in (CheckpointError("ours"), KeyError("another kind")):
        with pytest.raises(type(error)) as told, blaming("x", kinds=(OSError, InputError)):
            raise error
        assert told.value is error


def test_did_you_mean() -> None:
    assert did_you_mean("sketsh", ("canny", "sketch")) == "did you mean sketch? "
    assert did_you_mean("sketsh", ("canny", "sketch"), repr) == "did you mean 'sketch'? "
    assert did_you_mean("x", ("canny", "sketch")) == did_you_mean(7, ("canny",)) == ""


def test_a_warning_keeps_its_rows() -> None:
    assert PromptCutWarning("x").rows == PromptCutWarning().rows == ()
    sent = pickle.loads(pickle.dumps(PromptCutWarning("x", rows=[1, 2])))
    assert (str(sent), sent.rows) == ("x", (1, 2))
