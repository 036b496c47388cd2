"""What a run tells of its pages: in a few lines for people, and all of it for programs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_diskcache.progress import counts, told
from asgi_diskcache.reporting import EXAMPLES, as_data, lines
from asgi_diskcache.warming import Outcome, Report, Result
from asgi_diskcache.warming.report import NAMED

RESULTS: tuple[Result, ...] = ("stored", "unchanged", "present", *NAMED)


def a_report(*outcomes: Outcome, seconds: float = 2.0, dry_run: bool = False, interrupted: bool = False) -> Report:
    """The report of a run that came to these."""
    report = Report(dry_run=dry_run, seconds=seconds, interrupted=interrupted)
    for outcome in outcomes:
        report.add(outcome)
    return report


def said(*outcomes: Outcome, dry_run: bool = False) -> list[str]:
    """The lines of a report below the first one."""
    return list(lines(a_report(*outcomes, dry_run=dry_run)))[1:]


def many(result: Result, number: int, why: str = "", name: str = "p") -> list[Outcome]:
    return [Outcome(f"/{name}{index}", result, why) for index in range(number)]


@pytest.mark.parametrize(
    ("number", "seconds", "line"),
    [
        (0, 0.0, "0 pages in 0.0 s (0 a second)"),
        (1, 0.5, "1 page in 0.5 s (2 a second)"),
        (3000, 2.0, "3,000 pages in 2.0 s (1,500 a second)"),
        (1200, 59.94, "1,200 pages in 59.9 s (20 a second)"),
        (6, 90.0, "6 pages in 1.5m (0 a second)"),
        (7200, 7200.0, "7,200 pages in 2.0h (1 a second)"),
    ],
)
def test_a_report_begins_with_how_many_pages_there_were(number: int, seconds: float, line: str) -> None:
    assert next(lines(a_report(*many("present", number), seconds=seconds))) == line


def test_pages_that_are_as_they_should_be_are_counted() -> None:
    found = said(
        *(Outcome("/a", "stored", size=1024), Outcome("/b", "stored", size=512), Outcome("/c", "unchanged", size=512)),
        *(*many("present", 1234), Outcome("/d", "refused", "status", size=9999)),
    )
    assert found[:3] == ["stored        2 (2.0 KiB in all)", "unchanged     1", "already there 1,234"]


def test_results_come_in_the_same_order_whatever_came_first() -> None:
    outcomes = [Outcome(f"/{result}", result, "x") for result in RESULTS]
    words = ["stored", "unchanged", "already there", "removed", "redirected", "refused", "broken links", "failed"]
    found = [line for line in said(*reversed(outcomes)) if not line.startswith(" ")]
    assert [line.rsplit(" ", 1)[0].strip() for line in found[1:]] == words[1:]
    assert found[0].startswith("stored ")


def test_refusals_are_told_by_their_reason_the_most_frequent_first() -> None:
    assert said(
        *many("refused", 2, "vary"), *many("refused", 3, "status", "q"), *many("refused", 1, "set-cookie", "r")
    ) == [
        "refused       6",
        *("      3 status", "        /q0", "        /q1", "        /q2"),
        *("      2 vary", "        /p0", "        /p1"),
        *("      1 set-cookie", "        /r0"),
    ]


def test_removed_pages_are_told_by_their_reason() -> None:
    assert said(Outcome("/a", "removed", "status 404"), Outcome("/b", "removed", "it redirects to /c")) == [
        "removed       2",
        *("      1 status 404", "        /a", "      1 it redirects to /c", "        /b"),
    ]


@pytest.mark.parametrize("result", ["removed", "redirected", "refused", "missing", "failed"])
@pytest.mark.parametrize(("number", "more"), [(EXAMPLES, None), (EXAMPLES + 1, "1"), (EXAMPLES + 1234, "1,234")])
def test_a_few_pages_are_named_and_the_others_counted(result: Result, number: int, more: str | None) -> None:
    found = said(*many(result, number, "why"))
    named = [line for line in found if "/p" in line]
    assert [line.split("/p")[1][:1] for line in named] == ["0", "1", "2", "3", "4"]
    indent = named[0][: named[0].index("/")]
    assert found[-1] == (f"{indent}and {more} more (--json names all)" if more else named[-1])


def test_each_reason_has_its_own_examples() -> None:
    found = said(*many("refused", 7, "vary"), *many("refused", 6, "status", "q"))
    assert [line.strip() for line in found if "more" in line] == [
        "and 2 more (--json names all)",
        "and 1 more (--json names all)",
    ]
    assert sum("/q" in line for line in found) == sum("/p" in line for line in found) == EXAMPLES


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Outcome("/old", "redirected", "/new"), "    /old -> /new"),
        (Outcome("/x", "failed", "status 500", 500), "    /x: status 500"),
        (Outcome("/x", "failed"), "    /x"),
        (Outcome("/x", "failed", "status 500", referrers=("/a",)), "    /x: status 500, linked from /a"),
        (Outcome("/x", "missing", "status 404", referrers=("/a", "/b")), "    /x: status 404, linked from /a, /b"),
        (Outcome("/x", "failed", "status 500", host="a.test"), "    a.test/x: status 500"),
        (Outcome("/café", "redirected", "/y", host="a.test"), "    a.test/café -> /y"),
    ],
)
def test_a_page_is_told_with_what_became_of_it(outcome: Outcome, line: str) -> None:
    assert said(outcome)[1:] == [line]


def test_a_dry_run_tells_what_would_be() -> None:
    outcomes = [Outcome("/a", "stored", size=1024), Outcome("/b", "removed", "status 404"), Outcome("/c", "unchanged")]
    assert said(*outcomes, dry_run=True) == [
        *("would change  1", "    /a", "unchanged     1"),
        *("would go      1", "      1 status 404", "        /b"),
    ]
    assert said(*outcomes) == [
        *("stored        1 (1.0 KiB in all)", "unchanged     1"),
        *("removed       1", "      1 status 404", "        /b"),
    ]
    assert said(*many("stored", 7), dry_run=True)[-1] == "    and 2 more (--json names all)"


def test_an_interrupted_run_says_how_it_goes_on() -> None:
    assert list(lines(a_report(Outcome("/a", "stored"), interrupted=True)))[-1] == (
        "interrupted   the same command goes on where this one stopped"
    )
    assert not [line for line in lines(a_report(Outcome("/a", "stored"))) if "interrupted" in line]


def test_nothing_is_a_report_too() -> None:
    assert list(lines(Report())) == ["0 pages in 0.0 s (0 a second)"]


def test_programs_get_all_of_it() -> None:
    report = a_report(
        *(Outcome("/a", "stored", size=1000), Outcome("/b", "unchanged", size=24), Outcome("/c", "present")),
        *(Outcome("/d", "refused", "vary"), Outcome("/e", "refused", "vary"), Outcome("/f", "refused", "status")),
        *(
            Outcome("/g", "redirected", "/h"),
            Outcome("/i", "removed", "status 404"),
            Outcome("/j", "failed", "status 500"),
        ),
        Outcome("/k", "missing", "status 404", referrers=("/a", "/b")),
        Outcome("/d", "failed", "status 500", host="a.test"),
        seconds=3.14159,
    )
    assert json.loads(json.dumps(as_data(report))) == {
        "directory": "",
        "dry_run": False,
        "interrupted": False,
        "seconds": 3.142,
        "pages": 11,
        "pages_per_second": 3.5,
        "bytes": 1024,
        "stored": 1,
        "unchanged": 1,
        "present": 1,
        "removed": {"/i": "status 404"},
        "redirected": {"/g": "/h"},
        "refused": {"vary": ["/d", "/e"], "status": ["/f"]},
        "broken": {"/k": ["/a", "/b"]},
        "failed": {"/j": "status 500", "a.test/d": "status 500"},
    }


def test_programs_get_what_a_dry_run_would_change() -> None:
    outcomes = [*many("stored", 20), Outcome("/x", "removed", "status")]
    data = as_data(a_report(*outcomes, dry_run=True, interrupted=True))
    assert (data["dry_run"], data["interrupted"], data["stored"], data["removed"]) == (True, True, 20, {"/x": "status"})
    assert data["changed"] == [f"/p{number}" for number in range(20)]
    assert "changed" not in as_data(a_report(*outcomes))


WORDS = st.text(alphabet=st.characters(codec="utf-8"), max_size=5)
OUTCOMES = st.builds(
    Outcome,
    path=WORDS.map("/{}".format),
    result=st.sampled_from(RESULTS),
    why=WORDS,
    status=st.integers(0, 599),
    size=st.integers(0, 10**12),
    host=st.sampled_from(["", "a.test"]),
    referrers=st.lists(WORDS, max_size=3).map(tuple),
)


@given(st.lists(OUTCOMES, max_size=8), st.booleans())
def test_programs_get_every_page_that_was_not_stored(outcomes: list[Outcome], dry_run: bool) -> None:
    data = json.loads(json.dumps(as_data(a_report(*outcomes, dry_run=dry_run))))
    named = {
        "refused": {(page, why) for why, pages in data["refused"].items() for page in pages},
        "missing": {(page, "") for page in data["broken"]},
        "stored": {(page, "") for page in data.get("changed", ())},
        **{result: {(page, "") for page in data[result]} for result in ("removed", "redirected", "failed")},
    }
    for outcome in outcomes:
        if outcome.result in NAMED or (dry_run and outcome.result == "stored"):
            why = outcome.why if outcome.result == "refused" else ""
            assert (outcome.host + outcome.path, why) in named[outcome.result]
    assert data["pages"] == len(outcomes)
    assert data["bytes"] == sum(outcome.size for outcome in outcomes if outcome.result in ("stored", "unchanged"))
    for result in ("stored", "unchanged", "present"):
        assert data[result] == sum(outcome.result == result for outcome in outcomes)


@given(st.lists(OUTCOMES, max_size=8), st.booleans())
def test_people_get_the_number_of_each(outcomes: list[Outcome], dry_run: bool) -> None:
    report = a_report(*outcomes, dry_run=dry_run)
    totals = [line for line in lines(report) if line[:1].isalpha()]
    assert sum(int(line[14:].split()[0]) for line in totals) == len(outcomes)


def test_a_report_answers_whether_something_is_wrong() -> None:
    report = a_report(Outcome("/a", "stored"), Outcome("/b", "missing", "status 404"))
    assert report.has_any("failed", "missing") and not report.has_any("failed", "refused") and not report.has_any()


@pytest.mark.parametrize(
    ("outcomes", "known", "seconds", "text"),
    [
        ([], None, 0.0, "0 pages, 0/s: nothing yet"),
        ([], 10, 5.0, "0 of 10 pages, 0/s: nothing yet"),
        (many("stored", 3), None, 2.0, "3 pages, 2/s: 3 stored"),
        (many("stored", 10), 40, 5.0, "10 of 40 pages, 2/s, 15s left: 10 stored"),
        (many("stored", 1000), 721_000, 1.0, "1,000 of 721,000 pages, 1,000/s, 12m left: 1,000 stored"),
        (many("stored", 4), 4, 2.0, "4 of 4 pages, 2/s, 0s left: 4 stored"),
        # More than were counted: some came meanwhile.
        (many("stored", 6), 4, 2.0, "6 of 4 pages, 3/s: 6 stored"),
        (
            [*many("failed", 1), *many("present", 3), *many("stored", 2)],
            0,
            1.0,
            "6 pages, 6/s: 3 present, 2 stored, 1 failed",
        ),
    ],
)
def test_progress_is_told_in_a_line(outcomes: list[Outcome], known: int | None, seconds: float, text: str) -> None:
    assert told(a_report(*outcomes), known, seconds) == text


def test_the_most_frequent_result_comes_first() -> None:
    assert counts(a_report(*many("missing", 2), *many("stored", 1500))) == "1,500 stored, 2 missing"
    assert counts(Report()) == "nothing yet"
