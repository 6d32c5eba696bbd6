"""Charts are pure: data in, markup out. Read here as XML, so that broken markup is an error."""

import math
import re
from xml.etree import ElementTree

import pytest

from app.charts import Axis, Bar, Dash, Guide, Series, bar_chart, line_chart, scatter_chart
from app.charts.scales import make_scale, round_step, segments, thin

STEP, SCORE = Axis("step", is_whole=True), Axis("score", "nats")
WAVE = [(float(i), math.sin(i / 3)) for i in range(40)]


def drawn(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


def one_line(points: list[tuple[float, float | None]], **more: object) -> ElementTree.Element:
    return drawn(line_chart("c", "A title.", [Series("score", points)], STEP, SCORE, **more))


def paths(figure: ElementTree.Element) -> list[str]:
    return [path.get("d", "") for path in figure.iter("path")]


def words(figure: ElementTree.Element) -> str:
    return " ".join(figure.itertext())


def test_a_chart_is_a_figure_with_its_sentence_its_name_and_its_description() -> None:
    figure = one_line(WAVE, description="The score of each step.")
    assert figure.findtext("figcaption") == "A title."
    for svg in figure.iter("svg"):
        ids = {one.get("id"): one.text for one in svg if one.get("id")}
        assert svg.get("role") == "img"
        assert ids[svg.get("aria-labelledby")] == "A title."
        assert ids[svg.get("aria-describedby")] == "The score of each step."


def test_a_chart_is_drawn_for_a_wide_and_for_a_narrow_page_with_no_id_twice() -> None:
    figure = one_line(WAVE)
    assert [svg.get("class") for svg in figure.iter("svg")] == ["chart-wide", "chart-narrow"]
    ids = [one.get("id") for one in figure.iter() if one.get("id")]
    assert len(ids) == len(set(ids))


def test_nothing_is_styled_inline_because_the_policy_forbids_it() -> None:
    figure = bar_chart("b", "Bars.", [Bar("a", 0.4, 0.3, 0.5, "n 9")], "strength", SCORE)
    assert "style" not in figure
    assert "style" not in line_chart("c", "Line.", [Series("s", WAVE)], STEP, SCORE)


def test_the_axes_carry_their_units_and_round_ticks() -> None:
    figure = one_line([(0.0, 0.0), (40.0, 0.97)])
    assert "score (nats)" in words(figure)
    ticks = [one.text for one in figure.iter("text") if one.get("class") == "tick"]
    assert {"0.2", "0.4", "1.0", "0", "20", "40"} <= set(ticks)


def test_the_numbers_stand_in_a_table_that_a_keyboard_can_scroll() -> None:
    figure = one_line([(1.0, 0.25), (2.0, None)], csv_url="/numbers.csv?a=1&b=2")
    table = figure.find(".//div[@class='table-scroll chart-table']")
    assert table is not None
    assert table.get("tabindex") == "0"
    rows = [[cell.text for cell in row.iter("td")] for row in table.iter("tr")]
    assert rows[1:] == [["1", "0.2500"], ["2", "undefined"]]
    link = figure.find(".//a")
    assert link is not None
    assert link.get("href") == "/numbers.csv?a=1&b=2"


def test_several_lines_are_named_at_their_ends_and_told_apart_without_colour() -> None:
    lines = [Series("score", WAVE), Series("reward", WAVE, dash=Dash.DASHED)]
    figure = drawn(line_chart("c", "Two.", lines, STEP, SCORE))
    names = [one for one in figure.iter("text") if (one.get("class") or "").startswith("name")]
    assert [one.text for one in names][:2] == ["reward", "score"]
    heights = [float(one.get("y", "")) for one in names][:2]
    assert abs(heights[0] - heights[1]) >= 14
    assert len({path.get("stroke-dasharray") for path in figure.iter("path")}) == 2


@pytest.mark.parametrize("gap", [None, math.nan, math.inf])
def test_a_gap_leaves_the_line_open(gap: float | None) -> None:
    figure = one_line([(0.0, 1.0), (1.0, 2.0), (2.0, gap), (3.0, 1.0), (4.0, 2.0)])
    assert len(paths(figure)) == 4  # two runs in each of the two sizes
    assert not re.search(r"nan|inf", " ".join(paths(figure)))


def test_a_point_alone_is_a_dot() -> None:
    figure = one_line([(7.0, 0.5)])
    assert paths(figure) == []
    assert list(figure.iter("circle"))


def test_a_constant_line_gets_room_above_and_below() -> None:
    figure = one_line([(0.0, 3.0), (1.0, 3.0)])
    heights = {re.findall(r"[ML][\d.]+ ([\d.]+)", path)[0] for path in paths(figure)}
    assert all(40 < float(height) < 240 for height in heights)


@pytest.mark.parametrize("points", [[], [(1.0, None)], [(1.0, math.nan)]])
def test_without_a_number_the_chart_says_why_it_is_empty(
    points: list[tuple[float, float | None]],
) -> None:
    figure = one_line(points, empty="Starts with the first step.")
    assert "Starts with the first step." in words(figure)
    assert figure.find("svg") is None


def test_a_hundred_thousand_steps_stay_small_and_keep_their_peak() -> None:
    points = [(float(i), 400.0 if i == 31_415 else math.sin(i)) for i in range(100_000)]
    markup = line_chart("c", "Long.", [Series("loss", points)], STEP, SCORE)
    assert len(markup) < 120_000
    assert "every 500th of 100,000 rows" in markup
    assert max(value for _, value in thin(points, 300)) == 400.0


def test_hostile_names_stay_text() -> None:
    hostile = "<script>alert(1)</script>\"'&"
    markup = line_chart(
        "c", hostile, [Series(hostile, WAVE), Series("b", WAVE)], Axis(hostile), SCORE,
        guides=[Guide(0.5, hostile)], description=hostile,
    )  # fmt: skip
    bars = bar_chart("b", hostile, [Bar(hostile, 1.0, note=hostile)], hostile, SCORE)
    for one in (markup, bars):
        assert "<script" not in one
        assert drawn(one).findtext("figcaption") == hostile


def test_a_step_chart_holds_each_value_until_the_next() -> None:
    steps = Series("kl", [(0.0, 0.0), (1.0, 1.0)], is_step=True)
    path = paths(drawn(line_chart("c", "Steps.", [steps], STEP, SCORE)))[0]
    assert re.fullmatch(r"M[\d.]+ [\d.]+H[\d.]+V[\d.]+", path)


def test_bars_show_value_note_interval_and_baseline() -> None:
    bars = [Bar("strong", 0.9, 0.8, 0.96, "n 44"), Bar("slight", None, note="n 0")]
    markup = bar_chart(
        "b", "Bars.", bars, "strength", Axis("accuracy", low=0, high=1), guides=[Guide(0.7, "long")]
    )
    figure = drawn(markup)
    assert "0.900 n 44" in words(figure)
    assert "undefined n 0" in words(figure)
    assert len(list(figure.iter("rect"))) == 2
    assert len([one for one in figure.iter("line") if one.get("class") == "whisker"]) == 6


def test_a_cloud_draws_every_point() -> None:
    cloud = Series("policy", [(float(i), float(i)) for i in range(100)])
    figure = drawn(scatter_chart("s", "Cloud.", [cloud], Axis("KL"), SCORE))
    assert len(list(figure.iter("circle"))) == 200


@pytest.mark.parametrize(
    ("span", "step"), [(0.97, 0.2), (1.0, 0.2), (9.9, 2.0), (12.0, 2.5), (0.0003, 0.0001)]
)
def test_ticks_are_one_two_two_and_a_half_or_five_times_a_power_of_ten(
    span: float, step: float
) -> None:
    assert round_step(span, 5) == pytest.approx(step)


def test_a_scale_meets_its_ends_and_ignores_a_limit_that_would_cut_values_off() -> None:
    scale = make_scale([0.2, 0.7], 200, 0, low=0.0, high=1.0)
    assert (scale(0.0), scale(1.0)) == (200, 0)
    assert make_scale([-0.5, 0.7], 200, 0, low=0.0).low <= -0.5


def test_segments_of_nothing_are_none() -> None:
    assert segments([]) == []
    assert segments([(0.0, None)]) == []
