"""Python's websockets against tests/e2e/websocket/routes.lua; prints "all is well"."""

import asyncio
import sys

import websockets

URL = sys.argv[1]


async def echo():
    async with websockets.connect(URL + "/echo", max_size=2**21) as ws:
        for message in ["hello", "", "\u20ac" * 1000, b"", bytes(range(256)), b"x" * 2**20]:
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(["in ", "several ", "fragments"])
        assert await ws.recv() == "in several fragments"
        await (await ws.ping(b"data"))
        await ws.close(4001, "reason")
    assert (ws.close_code, ws.close_reason) == (4001, "reason")


async def negotiate():
    async with websockets.connect(URL + "/subprotocols", subprotocols=["chat", "x"]) as ws:
        assert ws.subprotocol == "chat"
        assert await ws.recv() == "chat"
    try:
        await websockets.connect(URL + "/origins", origin="https://evil.example")
        raise AssertionError("a bad origin was let in")
    except websockets.InvalidStatusCode as refused:
        assert refused.status_code == 403


async def be_closed():
    async with websockets.connect(URL + "/close") as ws:
        await ws.send("3456 bye")
        await ws.wait_closed()
    assert (ws.close_code, ws.close_reason) == (3456, "bye")
    async with websockets.connect(URL + "/small") as ws:
        await ws.send("x" * 101)
        await ws.wait_closed()
    assert ws.close_code == 1009


async def many():
    async def one(i):
        async with websockets.connect(URL + "/echo") as ws:
            for n in range(20):
                await ws.send(f"{i} {n}")
                assert await ws.recv() == f"{i} {n}"

    await asyncio.gather(*(one(i) for i in range(50)))


async def main():
    await echo()
    await negotiate()
    await be_closed()
    await many()
    print("all is well")


asyncio.run(main())
