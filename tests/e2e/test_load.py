"""A thousand distinct presses by 16 clients at once, every third one sent again, through each web server as it ships."""

import random

from support.assertions import check
from support.deliveries import load, press
from support.journal import verify_journal
from support.laboratory import Lab
from support.runner import run_tests
from support.servers import for_each_server

PRESSES = 1000


def a_thousand_presses_are_kept_once(start):
    with Lab(LOG="problems") as lab:
        server = start(lab)
        bodies = [press(number) for number in range(PRESSES)]
        again = bodies[::3]
        queue = bodies + again
        random.Random(1).shuffle(queue)
        answers = load(server.request, queue)
        numbers = verify_journal(lab)
        check(len(numbers) == PRESSES, len(numbers), "lines")
        check(sorted(numbers.values()) == list(range(1, PRESSES + 1)), "the numbers have gaps")
        for number, body in enumerate(bodies):
            seq = numbers[f"event-{number}"]
            words = sorted(word for _, word, _ in answers[body])
            check(words == (["duplicate", "stored"] if number % 3 == 0 else ["stored"]), answers[body])
            check(all(answer == (200, answer[1], seq) for answer in answers[body]), answers[body], "where seq is", seq)


run_tests(*for_each_server(a_thousand_presses_are_kept_once))
