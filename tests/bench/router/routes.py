"""The same rules and paths as routes.lua has, found by Werkzeug's Map, which Flask uses."""
import sys
import time

from werkzeug.routing import Map, Rule

seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5


def rules(count):
    for n in range(1, count // 2 + 1):
        yield Rule(f"/api/resource{n}/list", endpoint=f"list{n}")
        yield Rule(f"/api/resource{n}/<int:id>/part/<name>", endpoint=f"part{n}")


def paths(count, with_arguments):
    if with_arguments:
        return [f"/api/resource{n}/{n}/part/name{n}" for n in range(1, count // 2 + 1)]
    return [f"/api/resource{n}/list" for n in range(1, count // 2 + 1)]


def measure(find, listed):
    best = float("inf")
    for _ in range(5):
        calls, start = 0, time.process_time()
        while True:
            for at in range(1, 201):
                find(listed[(at * 7919) % len(listed)])
            calls += 200
            if time.process_time() - start > seconds / 5:
                break
        best = min(best, (time.process_time() - start) / calls * 1e9)
    return best


for count in (10, 100, 1000, 10000):
    adapter = Map(list(rules(count))).bind("localhost")
    for kind in ("plain", "arguments"):
        ns = measure(lambda path: adapter.match(path, "GET"), paths(count, kind == "arguments"))
        print(f"werkzeug\t{kind}\t{count}\t{ns:.0f}")
