"""What pydantic refuses is told in words of ours, whatever the kind of fault."""

from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from wsolbench.validation import refusal


def of_ours(value: Any) -> Any:
    if value == "no":
        raise ValueError("say yes")
    return value


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int = 1


CASES = [
    (int, "x", "expected a whole number, got 'x'"),
    (int, 1.5, "expected a whole number, got 1.5"),
    (float, None, "expected a number, got null"),
    (bool, "maybe", "expected true or false, got 'maybe'"),
    (str, 3, "expected a text, got 3"),
    (list[int], 3, "expected a list, got 3"),
    (dict[str, int], 3, "expected names with values, got 3"),
    (date, "soon", "expected a date, as in 2026-01-31, got 'soon'"),
    (Annotated[int, Field(ge=1)], 0, "expected a number of at least 1, got 0"),
    (Annotated[float, Field(gt=0)], 0, "expected a number above 0.0, got 0"),
    (Annotated[float, Field(le=1)], 2, "expected a number of at most 1.0, got 2"),
    (Annotated[float, Field(lt=1)], 2, "expected a number below 1.0, got 2"),
    (Annotated[float, Field(allow_inf_nan=False)], float("inf"), "expected a finite number, got inf"),
    (Literal["one", "two"], "three", "expected 'one' or 'two', got 'three'"),
    (Annotated[str, Field(pattern="^a$")], "b", "expected the form ^a$, got 'b'"),
    (Annotated[str, Field(min_length=2)], "b", "expected at least 2 characters, got 'b'"),
    (Annotated[list[int], Field(min_length=1)], [], "expected a list of 1 or more, got []"),
    (Annotated[str, AfterValidator(of_ours)], "no", "say yes"),
    (Part, {"count": 0, "cuont": 1}, "cuont: there is no such name"),
    (Part, {"count": []}, "count: expected a whole number, got []"),
    (Part, 3, "expected names with values, got 3"),
    (str, b"\xff", "b'\\xff' cannot stand here"),
]


@pytest.mark.parametrize(("kind", "value", "words"), CASES, ids=[words for *_, words in CASES])
def test_a_refusal_says_what_belongs_there(kind, value, words):
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(value)
    assert refusal(refused.value) == words


def test_what_is_missing_and_what_is_no_json_are_told():
    class Record(BaseModel):
        parts: list[Part]

    with pytest.raises(ValidationError) as refused:
        Record.model_validate({})
    assert refusal(refused.value) == "parts: it is missing"
    with pytest.raises(ValidationError) as refused:
        Record.model_validate_json("{")
    assert refusal(refused.value) == "no JSON (EOF while parsing an object at line 1 column 1)"
