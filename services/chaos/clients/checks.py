"""What the client scripts share: the records they send, and how a check is run and reported.

A script registers its checks with @check("a sentence") and ends with run(client, arguments): the checks run side by
side, each prints one line ("ok" or "FAIL"), and the process ends with 1 if any failed.
"""

import argparse
import os
import random
import sys
import threading
import time
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor, wait

CHECK_SECONDS = 120
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
STRATEGIES = ["range", "roundrobin", "cooperative-sticky"]
# What the broker assigns by in the consumer protocol (KIP-848).
ASSIGNORS = ["uniform", "range"]

_checks = []


def check(sentence):
    """Registers a function of one argument, the Stage, as the check that is called `sentence`."""

    def register(function):
        _checks.append((sentence, function))
        return function

    return register


class Stage:
    """Where the checks play: the cluster's address, what it is, and names nobody else uses."""

    def __init__(self, bootstrap, platform):
        self.bootstrap = bootstrap
        self.platform = platform
        self.run = uuid.uuid4().hex[:8]

    def name(self, what):
        return f"{what}-{self.run}"


def records(seed, count=40):
    """Records that are hard to keep byte-equal: null and empty keys and values, binary, repeated and null headers."""
    chance = random.Random(seed)
    edge = [
        (None, None, []),
        (b"", b"", []),
        (b"key", None, [("h", b"")]),
        (None, b"value", [("h", None), ("h", b"second"), ("", b"empty name")]),
        (bytes(range(256)), bytes(range(255, -1, -1)), [("\u00fcnicode", "\u20ac".encode())]),
        (b"large", b"farshore" * 4096, []),
    ]
    rest = [
        (b"k%d" % i, chance.randbytes(chance.randrange(200)), [("n", b"%d" % i)] if i % 3 == 0 else [])
        for i in range(count - len(edge))
    ]
    return edge + rest


def same(found, wanted, what):
    """Fails with both values when they differ."""
    if found != wanted:
        raise AssertionError(f"{what}: found {shorten(found)}, wanted {shorten(wanted)}")


def shorten(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"


def until(what, condition, seconds=40):
    """Calls `condition` until it answers something true, and returns that; `what` is a text or makes one at the end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")


def refused(what, call, *names):
    """Fails unless `call` raises an error whose text holds one of `names`."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - every client has its own class
        text = f"{type(error).__name__} {error}"
        if any(name in text for name in names):
            return
        raise AssertionError(f"{what}: refused with {text}, wanted one of {names}") from error
    raise AssertionError(f"{what}: was accepted, wanted one of {names}")


def _play(client, sentence, function, stage, failed, lock):
    began = time.monotonic()
    try:
        function(stage)
        verdict, reason = "ok  ", ""
    except BaseException as error:  # noqa: BLE001 - a failed check must never be lost
        verdict, reason = "FAIL", f": {type(error).__name__}: {error}"
        if not isinstance(error, AssertionError):
            reason += "".join(f"\n     | {line}" for line in traceback.format_exc().splitlines()[-8:])
    with lock:
        print(f"{verdict} {client}: {sentence} ({time.monotonic() - began:.1f} s){reason}", flush=True)
        if verdict == "FAIL":
            failed.append(sentence)


def run(client):
    """Runs every registered check, or those whose sentence holds --only, and ends the process."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("bootstrap")
    arguments.add_argument("--platform", choices=["farshore", "kafka"], default="farshore")
    arguments.add_argument("--only", default="")
    given = arguments.parse_args()
    stage = Stage(given.bootstrap, given.platform)
    chosen = [(sentence, function) for sentence, function in _checks if given.only in sentence]
    failed, lock = [], threading.Lock()
    with ThreadPoolExecutor(max_workers=6) as pool:
        running = {
            pool.submit(_play, client, sentence, function, stage, failed, lock): sentence for sentence, function in chosen
        }
        _, hanging = wait(running, timeout=CHECK_SECONDS + 30)
        for future in hanging:
            print(f"FAIL {client}: {running[future]}: not finished after {CHECK_SECONDS + 30} s", flush=True)
        code = 1 if failed or hanging or not chosen else 0
        print(f"{client}: {len(chosen) - len(failed) - len(hanging)} of {len(chosen)} checks passed", flush=True)
        sys.stdout.flush()
        os._exit(code)  # a client thread that hangs must not keep the process alive
