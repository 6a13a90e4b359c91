"""Workers are killed at random in the middle of a load: what was answered 200 is kept, once, and the journal holds."""

import os
import random
import signal
import threading

from support.assertions import check, wait_for
from support.deliveries import load, press
from support.fastcgi import fastcgi
from support.journal import verify_journal
from support.laboratory import Lab
from support.runner import run_tests

ROUNDS = int(os.environ.get("ROUNDS", "20"))
PRESSES = 120
WORKERS = 4
BETWEEN = 4  # answers at least between two kills: on a slow machine no worker would live long enough to give one
SEED = int(os.environ.get("SEED", "20261123"))


def killed_workers_lose_nothing_that_was_answered():
    """The test itself plays the process manager: it starts a new worker for each that it kills."""
    chance = random.Random(SEED)
    answered = {}
    with Lab(LOG="off") as lab:
        listener, path = lab.listener()
        workers = [lab.worker(listener) for _ in range(WORKERS)]
        for round_number in range(ROUNDS):
            bodies = [press(f"{round_number}-{i}") for i in range(PRESSES)]
            over = threading.Event()
            killed = given = 0

            def send(body, signature):
                nonlocal given
                answer = fastcgi(path, body, signature)
                given += answer is not None
                return answer

            def killer():
                nonlocal killed
                while not over.wait(chance.random() * 0.03):
                    enough = given + BETWEEN
                    wait_for(lambda: given >= enough or over.is_set(), "answers between two kills")
                    victim = chance.randrange(WORKERS)
                    workers[victim].kill()
                    workers[victim].wait()
                    workers[victim] = lab.worker(listener)
                    killed += 1
            thread = threading.Thread(target=killer)
            thread.start()
            answers = load(send, bodies + bodies[::3])
            over.set()
            thread.join()
            check(killed > 0, "nobody was killed")
            numbers = verify_journal(lab)
            for i, body in enumerate(bodies):
                for status, _, seq in answers[body]:
                    if status == 200:
                        answered[f"event-{round_number}-{i}"] = seq
            lost = [event for event, seq in answered.items() if numbers.get(event) != seq]
            check(not lost, "answered 200 and lost, or numbered otherwise:", lost)
        check(len(answered) > ROUNDS * PRESSES // 4, "too few answers to prove anything:", len(answered))
        print(f"# {len(answered)} answered events survived {ROUNDS} rounds, seed {SEED}")


def the_index_agrees_after_all_that():
    """What the killed workers left is taken up: every event that is in the journal is a duplicate."""
    chance = random.Random(SEED)
    with Lab(LOG="off") as lab:
        listener, path = lab.listener()
        for number in range(0, 400, 40):
            worker = lab.worker(listener)
            timer = threading.Timer(chance.random() * 0.2, worker.send_signal, (signal.SIGKILL,))
            timer.start()
            successor = []

            def replace():
                worker.wait()
                successor.append(lab.worker(listener))
            replacing = threading.Thread(target=replace)
            replacing.start()
            load(lambda body, signature: fastcgi(path, body, signature), [press(n) for n in range(number, number + 40)], 8)
            timer.join()
            replacing.join()
            successor[0].terminate()
            successor[0].wait()
        lab.worker(listener)
        kept = verify_journal(lab)
        answers = load(lambda body, signature: fastcgi(path, body, signature), [press(n) for n in range(400)])
        for number in range(400):
            (status, word, seq), = answers[press(number)]
            known = f"event-{number}" in kept
            check(status == 200 and word == ("duplicate" if known else "stored"), number, status, word, "known:", known)
            check(not known or seq == kept[f"event-{number}"], number, "has another number now")
        check(len(verify_journal(lab)) == 400, "not 400 lines")


run_tests(killed_workers_lose_nothing_that_was_answered, the_index_agrees_after_all_that)
