"""The exercises of the lessons: each begins red, and its solution is green.

For each exercise with a patch there is a proof in course/exercises.py: a black-box test of what
the exercise asks for. It fails on the step as it is, and passes when the solution is applied to a
copy.
"""

import os
import re
import shutil
import subprocess

import pytest

from course.exercises import proof_of, read_exercises
from course.facts import BLOCK
from course.prose import MARKED
from course.runs import run_tests
from tests.harness import ROOT, STEPS

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not shutil.which("patch"), reason="needs os.fork, and patch"
)

# A solution may change what the step's own tests ask for. Then these tests may fail, and no others.
CHANGES = {
    ("step01_echo_socket", 2): {  # all that send letters, and want the same letters back
        "test_64_mib_come_back",
        "test_a_client_gets_its_words_back_and_can_send_again",
        "test_a_client_may_send_again_and_again",
        "test_a_client_that_was_reset_before_accept_harms_nobody",
        "test_a_reset_while_the_server_sends_ends_that_client_alone",
        "test_a_second_client_waits_while_the_first_is_served",
        "test_byte_by_byte_is_the_same_stream",
        "test_clients_may_connect_send_and_end_before_they_are_accepted",
        "test_ctrl_c_ends_it_while_it_serves_a_client",
        "test_half_close_is_answered_with_the_rest_and_the_end",
        "test_one_client_after_another_is_served",
        "test_the_client_goes_to_the_host_that_is_named",
        "test_the_client_prints_what_came_back",
        "test_the_echo_is_what_the_client_sent",
        "test_the_log_says_which_client_was_lost_and_why",
        "test_the_next_client_gets_its_words_back_too",
        "test_the_reset_of_a_client_ends_that_client_alone",
        "test_the_server_holds_one_piece_of_a_long_message",
    },
    ("step06_prefork", 3): {"test_workers_end_when_their_server_was_killed"},
    ("step06_prefork", 4): {  # what gets worse with threads, and what they are there for
        "test_a_stop_signal_lets_the_request_in_flight_finish",
        "test_a_worker_that_gets_sigterm_finishes_its_request_and_is_replaced",
        "test_a_worker_that_is_killed_is_replaced_and_only_its_client_is_hurt",
        "test_as_many_slow_clients_as_workers_hold_up_all_others",
        "test_at_the_stop_workers_have_ten_seconds_and_no_more",
        "test_ctrl_c_in_a_terminal_lets_the_request_in_flight_finish",
        "test_each_worker_has_a_counter_of_its_own_that_counts_on",
        "test_two_workers_serve_two_clients_at_the_same_time",
        "test_whatever_the_application_does_there_are_as_many_workers",
        "test_workers_end_when_their_server_was_killed",
    },
}


EXERCISES = [
    exercise for step in STEPS for exercise in read_exercises(step) if exercise.patch is not None
]
lessons = pytest.mark.parametrize("step", STEPS)
exercises = pytest.mark.parametrize("exercise", EXERCISES, ids=str)


def apply(patch, folder, *options):
    """Apply a patch of a page to a folder. Fails if it does not fit to the line."""
    command = ["patch", "-p1", "-F0", "--no-backup-if-mismatch", *options]
    done = subprocess.run(command, cwd=folder, input=patch, text=True, capture_output=True)
    assert done.returncode == 0 and "offset" not in done.stdout, (
        f"The solution does not fit the code any more:\n{done.stdout}{patch}"
    )


@lessons
def test_each_lesson_has_four_exercises_with_hints_and_a_solution(step):
    found = read_exercises(step)
    assert [exercise.number for exercise in found] == list(range(1, len(found) + 1))
    assert sum(exercise.patch is not None for exercise in found) >= 4, (
        f"{step}/EXERCISES.md has fewer than four exercises whose solution is a patch."
    )
    text = (ROOT / step / "EXERCISES.md").read_text("utf-8")
    for part in re.split(r"^## \d+\. ", text, flags=re.M)[1:]:
        for summary in ("Hint 1", "Hint 2", "Solution"):
            assert f"<summary>{summary}</summary>" in part, f"{summary} is missing in {part[:60]!r}"
    solutions = [
        block for language, block in BLOCK.findall(MARKED.sub("", text)) if language == "diff"
    ]
    assert solutions == [exercise.patch for exercise in found if exercise.patch], (
        f"{step}/EXERCISES.md has a diff that is neither filled in by prose.py nor a solution."
    )


@exercises
def test_an_exercise_begins_red_and_its_solution_is_green(exercise, tmp_path):
    prove = proof_of(exercise)
    assert prove, f"Exercise {exercise.number} of {exercise.step} has no proof."
    folder = shutil.copytree(ROOT / exercise.step, tmp_path / "mine")
    with pytest.raises(AssertionError, match=r"^Not yet: "):
        prove(folder)
    apply(exercise.patch, folder)
    prove(folder)


def test_who_collects_each_child_at_once_has_done_more_than_exercise_4_asks(tmp_path):
    folder = shutil.copytree(ROOT / "step05_zombies", tmp_path / "mine")
    proof_of(read_exercises("step04_fork")[3])(folder)


@exercises
def test_a_solution_breaks_nothing_else(exercise, tmp_path):
    folder = shutil.copytree(ROOT / exercise.step, tmp_path / "mine")
    apply(exercise.patch, folder)
    changed = CHANGES.get((exercise.step, exercise.number), set())
    names = " or ".join(changed) or "no_such_test"
    server, report = [folder / "server.py"], tmp_path / "report.xml"
    results = run_tests(exercise.step, server, report, "-k", f"not ({names})")
    failures = [failure for _, _, failure in results if failure]
    assert results and not failures, "\n".join(failures)
    if changed:
        results = run_tests(exercise.step, server, report, "-k", names, "-x")
        assert [failure for _, _, failure in results if failure], (
            f"None of these fails, so CHANGES need not name them: {changed}"
        )
