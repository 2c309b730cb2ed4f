"""The scripted function of the SDK suite on the Python SDK 2.2, whose messages and states are google.protobuf.Any.

The little language is told in the suite's package comment. MODE is sync (RequestReplyHandler, in a thread) or async
(AsyncRequestReplyHandler under aiohttp). The states stand in the module, so that SPECS has no effect here; there are
no cancellation tokens in this generation."""

import asyncio
import os
import sys
from datetime import timedelta

from aiohttp import web
from google.protobuf.wrappers_pb2 import BoolValue, FloatValue, Int32Value, Int64Value, StringValue
from statefun import AsyncRequestReplyHandler, RequestReplyHandler, StatefulFunctions, kafka_egress_record

PORT, NAMESPACE, TOPIC, SPECS, MARKS, MODE = sys.argv[1:7]
OUT = "sdks.io/legacy-out"
WRAPPERS = {"number": Int32Value, "flag": BoolValue, "ratio": FloatValue, "large": Int64Value}
PARSE = {"number": int, "flag": lambda text: text == "true", "ratio": float, "large": int}

in_flight = 0
peak = 0


class Utf8:
    """What kafka_egress_record takes for a message: it writes the serialization of one and nothing else."""

    def __init__(self, text):
        self.text = text

    def SerializeToString(self):
        return self.text.encode("utf-8")


def pack_state(context, name, value):
    context.state(name).pack(WRAPPERS.get(name, StringValue)(value=value))


def unpack_state(context, name):
    held = context.state(name).unpack(WRAPPERS.get(name, StringValue))
    return None if held is None else held.value


def get(context, name):
    value = unpack_state(context, name)
    if value is None:
        return "-"
    return str(value).lower() if name == "flag" else str(value)


def egress(context, value, typename=OUT):
    record = kafka_egress_record(topic=TOPIC, key=context.address.identity, value=value)
    context.pack_and_send_egress(typename, record)


def message(context, target, target_id, script):
    return (
        target if "/" in target else NAMESPACE + "/" + target,
        context.address.identity if target_id == "self" else target_id,
        StringValue(value=script.replace("+", " ").replace(",", ";")),
    )


def fail(token, times):
    """Throws the first times that any process sees the token."""
    for i in range(times):
        try:
            os.close(os.open(f"{MARKS}/{token}.{i}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        raise RuntimeError(f"the script fails, {i + 1} of {times}")


def run(context, command, words):
    """Runs one command; what it gives back is to be slept, in seconds."""
    if command == "set":
        value = words[1] if len(words) > 1 else ""
        pack_state(context, words[0], PARSE.get(words[0], str)(value))
    elif command == "del":
        del context[words[0]]
    elif command == "get":
        egress(context, Utf8(f"{words[0]}={get(context, words[0])}"))
    elif command == "count":
        n = (unpack_state(context, "number") or 0) + 1
        pack_state(context, "number", n)
        egress(context, Utf8(f"count={n}"))
    elif command == "send":
        context.pack_and_send(*message(context, *words))
    elif command == "after":
        context.pack_and_send_after(timedelta(milliseconds=int(words[0])), *message(context, *words[2:]))
    elif command == "ping":
        n = int(words[0])
        egress(context, Utf8(f"ping {n}"))
        if n > 0:
            context.pack_and_reply(StringValue(value=f"ping {n - 1}"))
    elif command == "egress":
        egress(context, Utf8(words[0]))
    elif command == "typed":
        egress(context, Int32Value(value=int(words[0])))
    elif command == "lost":
        egress(context, Utf8("lost"), typename="sdks.io/nowhere")
    elif command == "self":
        egress(context, Utf8(f"self={context.address.type}/{context.address.identity}"))
    elif command == "caller":
        caller = context.caller
        egress(context, Utf8("caller=" + (f"{caller.type}/{caller.identity}" if caller.identity else "none")))
    elif command == "sleep":
        return int(words[0]) / 1000
    elif command == "peak":
        egress(context, Utf8(f"peak={peak}"))
    elif command == "fail":
        fail(words[0], int(words[1]))
    elif command == "throw":
        raise RuntimeError("the script throws")
    else:
        raise RuntimeError(f"unknown command {command!r}")
    return 0


def commands(arriving):
    for command in arriving.value.split(";"):
        name, *words = command.split(" ")
        yield name, words


def plain(context, arriving: StringValue):
    for name, words in commands(arriving):
        run(context, name, words)


async def awaiting(context, arriving: StringValue):
    global in_flight, peak
    in_flight += 1
    peak = max(peak, in_flight)
    try:
        for name, words in commands(arriving):
            await asyncio.sleep(run(context, name, words))
    finally:
        in_flight -= 1


functions = StatefulFunctions()
for kind in ("script", "other"):
    functions.register(f"{NAMESPACE}/{kind}", awaiting if MODE == "async" else plain)
handler = AsyncRequestReplyHandler(functions) if MODE == "async" else RequestReplyHandler(functions)


async def statefun(request):
    body = await request.read()
    answer = await handler(body) if MODE == "async" else await asyncio.to_thread(handler, body)
    return web.Response(body=answer, content_type="application/octet-stream")


app = web.Application()
app.router.add_post("/statefun", statefun)
web.run_app(app, host="127.0.0.1", port=int(PORT))
