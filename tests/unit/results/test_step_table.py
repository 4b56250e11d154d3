"""Columns by step: missing values, restarts, and more rows than are kept."""

from __future__ import annotations

from math import isnan, nan
from statistics import fmean

from hypothesis import given
from hypothesis import strategies as st

from prl_submit.results.step_lines import Values
from prl_submit.results.step_table import StepTable


def values(**numbers: float) -> Values:
    return Values(tuple(numbers), tuple(numbers.values()))


def test_rows_and_missing_values() -> None:
    table = StepTable()
    assert (len(table), table.steps(), table.column("kl"), table.names()) == (0, [], [], [])
    table.append(1, values(loss=1.0))
    table.append(2, values(loss=nan, kl=0.5))
    table.append(5, values(kl=0.25))
    assert (len(table), table.steps(), table.names()) == (3, [1, 2, 5], ["loss", "kl"])
    assert table.points("loss") == [(1, 1.0)]
    assert table.points("kl") == [(2, 0.5), (5, 0.25)]
    assert [isnan(value) for value in table.column("loss")] == [False, True, True]
    assert all(map(isnan, table.column("nothing")))
    table.amend(values(kl=0.25, reward=1.0))
    assert table.points("reward") == [(5, 1.0)]


def test_cut() -> None:
    table = StepTable()
    for step in range(1, 11):
        table.append(step, values(loss=float(step)))
    table.cut(8)
    table.append(8, values(loss=80.0))
    assert table.points("loss")[-2:] == [(7, 7.0), (8, 80.0)]
    table.cut(0)
    assert len(table) == 0


def test_more_rows_than_are_kept() -> None:
    table = StepTable(rows=1000)
    for step in range(1, 10_001):
        table.append(step, values(loss=float(step)))
        assert len(table) <= 2000 + 512
    assert table.stride in (4, 8)
    points = table.points("loss")
    assert len(points) >= 1000
    assert points[-1][0] == 10_000
    assert points[0] == (table.stride, fmean(range(1, table.stride + 1)))
    assert abs(fmean(value for _, value in points) - 5000.5) < table.stride
    assert table.steps() == sorted(set(table.steps()))


def test_a_restart_where_rows_are_joined() -> None:
    table = StepTable(rows=100)
    for step in range(1, 3001):
        table.append(step, values(loss=1.0))
    table.cut(2000)
    for step in range(2000, 3501):
        table.append(step, values(loss=2.0))
    steps = table.steps()
    assert steps == sorted(set(steps))
    assert steps[-1] == 3500
    assert {value for step, value in table.points("loss") if step < 2000} == {1.0}
    assert {value for step, value in table.points("loss") if step > 2000 + 64} == {2.0}


def test_columns_that_come_late_and_names_without_end() -> None:
    table = StepTable(rows=16)
    for step in range(1, 2001):
        table.append(step, values(**{"loss": 1.0, f"name{step}": 2.0}))
    assert len(table.column("loss")) == len(table.column("name1")) == len(table.steps())
    assert len([name for name in table.names() if table.points(name)]) < 1000


@given(
    st.lists(
        st.tuples(
            st.integers(1, 40),
            st.booleans(),
            st.sampled_from(["loss", "kl"]),
            st.floats(-1e6, 1e6) | st.just(nan),
        ),
        max_size=120,
    ),
    st.integers(2, 6),
    st.integers(1, 5),
)
def test_any_rows_and_restarts(
    rows: list[tuple[int, bool, str, float]], limit: int, block: int
) -> None:
    """Steps always rise, columns have one length, and each row is the mean of the logged rows up to its step."""
    table = StepTable(rows=limit, block=block)
    logged: dict[int, tuple[str, float]] = {}
    last = 0
    for number, back, name, value in rows:
        step = max(last - number, 1) if back else last + number
        if step <= last:
            table.cut(step)
            logged = {at: row for at, row in logged.items() if at < step}
        table.append(step, values(**{name: value}))
        logged[step] = (name, value)
        last = step
    steps = table.steps()
    assert steps == sorted(set(steps))
    assert not steps or steps[-1] == last
    assert set(steps) <= set(logged)
    assert len(table) <= 2 * limit + block + table.stride
    for name in ("loss", "kl"):
        column = table.column(name)
        assert len(column) == len(steps) == len(table)
        told = [value for key, value in logged.values() if key == name and not isnan(value)]
        for value in column:
            assert isnan(value) or min(told) - 1e-6 <= value <= max(told) + 1e-6
        if table.stride == 1:
            assert [(s, v) for s, v in table.points(name)] == [
                (s, v) for s, (key, v) in logged.items() if key == name and not isnan(v)
            ]
