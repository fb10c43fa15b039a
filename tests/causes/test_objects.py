"""Which type is named: the program's own with what grew in step, both where two grew alike, no loss ever."""

from __future__ import annotations

from monitord.causes.objects import Row, container_that_grew, lead_of, rows_of


def census(**rows: tuple[int, int]) -> dict[str, object]:
    own = [name for name in rows if name[0].isupper()]
    return {"types": {name: list(row) for name, row in rows.items()}, "user_types": own}


def test_a_type_of_the_program_leads_what_grew_in_step_with_it() -> None:
    rows = rows_of(
        census(Order=(2000, 100), dict=(2500, 900), float=(9000, 50)),
        census(Order=(1000, 50), dict=(1500, 400)),
    )
    lead = lead_of(rows, 600)
    assert lead is not None
    assert lead.types[0].name == "Order"
    assert [row.name for row in lead.companions] == ["dict"]
    assert lead.described(is_gain=True) == "+1,000 Order with as many dict"


def test_what_shrank_is_left_out() -> None:
    assert rows_of(census(A=(10, 100)), census(A=(20, 200))) == []


def test_a_few_objects_of_the_program_lead_nothing() -> None:
    """That seven others are as many is chance."""
    rows = [Row("bytes", 7, 1000, False), Row("Thing", 7, 10, True)]
    lead = lead_of(rows, 1000)
    assert lead is not None
    assert lead.types[0].name == "bytes"


def test_a_type_of_the_program_that_explains_little_does_not_lead() -> None:
    rows = [Row("bytes", 300, 1000, False), Row("Thing", 50_000, 100, True)]
    lead = lead_of(rows, 1000)
    assert lead is not None
    assert lead.types[0].name == "bytes"


def test_rivals_are_all_named_and_counted_once() -> None:
    rows = [Row("str", 2000, 500, False), Row("A", 1000, 100, True), Row("B", 1000, 90, True)]
    lead = lead_of(rows, 700)
    assert lead is not None
    assert {row.name for row in lead.types} == {"A", "B"}
    assert lead.size == 690


def test_a_container_leads_the_numbers_that_lie_in_it() -> None:
    """Three a tuple: it is the tuples that leak."""
    lead = lead_of([Row("int", 3000, 500, False), Row("tuple", 1000, 400, False)], 900)
    assert lead is not None
    assert lead.described(is_gain=True) == "+1,000 tuple with 3 times as many int"


def test_nothing_leads_where_nothing_grew() -> None:
    assert lead_of([], 1000) is None


def test_the_container_is_the_one_that_took_in_half_of_them() -> None:
    lead = lead_of([Row("A", 1000, 100, True)], 100)
    assert lead is not None
    before, after = (
        {"large": [[1, "list", 2000]]},
        {"large": [[1, "list", 2900], [2, "dict", 1500], [3, "str", 9000]]},
    )
    assert container_that_grew(before, after, lead) == "one dict grew to 1,500 elements"
    assert container_that_grew({"large": []}, {"large": [[3, "list", 400]]}, lead) is None
