#!/usr/bin/python3
"""The same as bench.lua with Jinja2: bench.py SECONDS, from the root of the repository."""
import sys
import time

import jinja2

ENV = jinja2.Environment(
    loader=jinja2.FileSystemLoader("tests/bench/templates/pages"), autoescape=True, auto_reload=False)


def rows():
    return [[r if c == 1 else f"<row {r}>" if c == 2 else f"cell {r}-{c}" for c in range(1, 11)]
            for r in range(1, 1001)]


def item(n):
    made = {"name": f"Item & {n}", "price": n * 1.25, "stock": n % 5, "tags": ["a", "b", f"tag {n}"]}
    if n % 2 == 0:
        made["note"] = f"note <{n}>"
    return made


def page():
    return {
        "title": "Things", "intro": "words and more words " * 10,
        "items": [item(n) for n in range(1, 21)],
        "links": [{"url": f"/page/{n}", "title": f"Page {n}"} for n in range(1, 7)],
        "path": "/page/3", "year": 2026, "owner": "Ann & Bob",
        "fields": {"email": "your email", "name": "full name", "phone": "phone number"},
        "values": {"email": "a@b.c", "name": "\"Ann\"", "phone": "123"},
    }


PAGES = [("table", {"rows": rows()}), ("page", page()),
         ("small", {"name": "<Ann>", "items": ["one", "two", "three"]})]


def main():
    seconds = float(sys.argv[1])
    for name, variables in PAGES:
        size = len(ENV.get_template(name + ".html").render(variables).encode())
        count, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            for _ in range(1 if name == "table" else 20):
                ENV.get_template(name + ".html").render(variables)
                count += 1
        print(name, (time.process_time() - start) / count * 1e6, size)


if __name__ == "__main__":
    main()
