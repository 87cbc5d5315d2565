"""Timeline histories, as PostgreSQL writes them and as it reads them (timeline.c)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.model.lsn import Lsn
from seawall.model.timeline import TimelineHistory, TimelineSwitch

# Four recoveries in a row, each with another kind of target; the blank lines are PostgreSQL's.
FOUR_SWITCHES = (
    "1\t0/3000158\tno recovery target specified\n"
    "\n"
    "2\t0/50001F8\tbefore 2026-11-25 10:41:07.123456+00\n"
    "\n"
    '3\t0/7000060\tat restore point "ticket #42, before\tthe import"\n'
    "\n"
    "5\t1/9000000\tafter transaction 751\n"
)


def test_reads_every_switch_with_its_reason() -> None:
    history = TimelineHistory.parse(6, FOUR_SWITCHES)
    assert history.switches == (
        TimelineSwitch(1, Lsn.parse("0/3000158"), "no recovery target specified"),
        TimelineSwitch(2, Lsn.parse("0/50001F8"), "before 2026-11-25 10:41:07.123456+00"),
        TimelineSwitch(3, Lsn.parse("0/7000060"), 'at restore point "ticket #42, before\tthe import"'),
        TimelineSwitch(5, Lsn.parse("1/9000000"), "after transaction 751"),
    )


def test_comments_blank_lines_and_missing_reasons_are_read_as_postgresql_does() -> None:
    text = "# written by hand\n\n   # indented\n1\t0/3000158\n2 0/5000000 \r\n"
    assert [str(switch.at) for switch in TimelineHistory.parse(3, text).switches] == [
        "0/3000158",
        "0/5000000",
    ]


@pytest.mark.parametrize(
    ("timeline", "text"),
    [
        (2, "one\t0/3000158\treason\n"),
        (2, "1\n"),
        (2, "1\tnowhere\treason\n"),
        (4, "2\t0/3000158\n1\t0/5000000\n"),
        (4, "2\t0/3000158\n2\t0/5000000\n"),
        (2, "2\t0/3000158\n"),
        (2, "3\t0/3000158\n"),
    ],
)
def test_refuses_what_postgresql_refuses(timeline: int, text: str) -> None:
    with pytest.raises(ValueError, match=r"timeline|LSN"):
        TimelineHistory.parse(timeline, text)


def test_the_first_timeline_has_no_history() -> None:
    first = TimelineHistory.parse(1, "")
    assert first == TimelineHistory(1)
    assert first.includes(1, 0) and first.includes(1, 2**64 - 1)


def test_a_server_can_follow_up_to_the_switch_and_not_beyond() -> None:
    history = TimelineHistory.parse(6, FOUR_SWITCHES)
    assert history.includes(2, Lsn.parse("0/50001F8"))  # exactly where it was left
    assert not history.includes(2, Lsn.parse("0/50001F9"))  # diverged: wrote past the switch
    assert not history.includes(2, Lsn.parse("0/3000157"))  # before timeline 2 began
    assert not history.includes(4, Lsn.parse("0/8000000"))  # timeline 4 is no ancestor
    assert history.includes(6, Lsn.parse("1/9000000"))
    assert not history.includes(6, Lsn.parse("1/8FFFFFF"))
    assert not history.includes(7, Lsn.parse("1/9000001"))


@st.composite
def histories(draw: st.DrawFn) -> TimelineHistory:
    ancestors = sorted(draw(st.sets(st.integers(min_value=1, max_value=1000), max_size=8)))
    points = sorted(draw(st.lists(st.integers(1, 2**63), min_size=len(ancestors), max_size=len(ancestors))))
    reasons = st.sampled_from(["", "no recovery target specified", 'at restore point "#1"'])
    switches = (
        TimelineSwitch(timeline, Lsn(at), draw(reasons))
        for timeline, at in zip(ancestors, points, strict=True)
    )
    return TimelineHistory(1001 if ancestors else 1, tuple(switches))


@given(histories())
def test_any_history_reads_back(history: TimelineHistory) -> None:
    text = "\n".join(f"{switch.timeline}\t{switch.at}\t{switch.reason}\n" for switch in history.switches)
    assert TimelineHistory.parse(history.timeline, text) == history


@given(histories(), st.integers(0, 2**63 + 1))
def test_every_position_can_be_followed_on_the_timeline_that_wrote_it(
    history: TimelineHistory, lsn: int
) -> None:
    left = [switch.timeline for switch in history.switches if switch.at <= lsn]
    timelines = [*(switch.timeline for switch in history.switches), history.timeline]
    assert history.includes(timelines[len(left)], lsn)
