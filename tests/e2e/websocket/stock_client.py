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


async def compress():
    async with websockets.connect(URL + "/compressed") as ws:
        assert [e.name for e in ws.extensions] == ["permessage-deflate"]
        for message in ["", "short", "long " * 10000, bytes(range(256)) * 200, "\u20ac" * 10000]:
            await ws.send(message)
            assert await ws.recv() == message
    async with websockets.connect(URL + "/compressed") as ws:
        await ws.send("x" * 65537)
        await ws.wait_closed()
    assert ws.close_code == 1009
    room = URL + "/compressed-room"
    async with websockets.connect(room) as a, websockets.connect(room, compression=None) as b:
        assert await a.recv() == await b.recv() == "joined"
        for message in ["short", "long " * 10000]:
            await a.send(message)
            assert await a.recv() == await b.recv() == message


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
    await compress()
    await many()
    print("all is well")


asyncio.run(main())
