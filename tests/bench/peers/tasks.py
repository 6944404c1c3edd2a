# tests/bench/tasks.lua for gevent's greenlets.
import os
import re
import time

import gevent

count = int(os.environ["TASKS"])
seconds = int(os.environ.get("SECONDS", 2))
rounds = int(os.environ.get("ROUNDS", 0))
alive = asleep = 0


def resident():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmRSS:\s*(\d+)", status.read()).group(1))


def sleeper():
    global alive, asleep
    alive += 1
    gevent.sleep(seconds)
    asleep += 1
    if asleep == count:
        print("alive", alive)
        print("kilobytes", resident() - before)
    gevent.sleep(seconds)
    alive -= 1


def yielder():
    for _ in range(rounds):
        gevent.sleep(0)


work = sleeper if os.environ["MODE"] == "sleep" else yielder
before = resident()
start = time.monotonic()
gevent.joinall([gevent.spawn(work) for _ in range(count)])
print("seconds", time.monotonic() - start)
