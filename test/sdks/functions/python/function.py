"""The scripted function of the SDK suite on the Python SDK 3.x: the official one and the maintained fork.

The little language is told in the suite's package comment. MODE is sync (a plain function, handle_sync in a thread of
its own as a WSGI server has it) or async (async def, awaited on aiohttp's loop)."""

import asyncio
import os
import sys
from datetime import timedelta

from aiohttp import web
from statefun import (
    BoolType,
    FloatType,
    IntType,
    LongType,
    RequestReplyHandler,
    StatefulFunctions,
    StringType,
    ValueSpec,
    kafka_egress_message,
    make_json_type,
    message_builder,
)

PORT, NAMESPACE, TOPIC, SPECS, MARKS, MODE = sys.argv[1:7]
OUT = "sdks.io/out"

in_flight = 0
peak = 0


def value_specs(deployment):
    """1 is the first deployment, 2 the one that adds, drops and changes."""
    written = timedelta(seconds=4) if deployment == "1" else timedelta(minutes=1)
    specs = [
        ValueSpec("text", StringType),
        ValueSpec("number", IntType),
        ValueSpec("ratio", FloatType),
        ValueSpec("large", LongType),
        ValueSpec("custom", make_json_type("sdks.types/custom")),
        ValueSpec("written", StringType, expire_after_write=written),
        ValueSpec("called", StringType, expire_after_call=timedelta(seconds=4)),
    ]
    specs.append(ValueSpec("flag", BoolType) if deployment == "1" else ValueSpec("fresh", StringType))
    return specs


PARSE = {"number": int, "flag": lambda text: text == "true", "ratio": float, "large": int}


def get(context, name):
    value = getattr(context.storage, name)
    if value is None:
        return "-"
    return str(value).lower() if name == "flag" else str(value)


def egress(context, value, value_type=None, typename=OUT):
    context.send_egress(
        kafka_egress_message(typename=typename, topic=TOPIC, key=context.address.id, value=value, value_type=value_type)
    )


def message(context, target, target_id, script):
    return message_builder(
        target_typename=target if "/" in target else NAMESPACE + "/" + target,
        target_id=context.address.id if target_id == "self" else target_id,
        str_value=script.replace("+", " ").replace(",", ";"),
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
        setattr(context.storage, words[0], PARSE.get(words[0], str)(value))
    elif command == "del":
        delattr(context.storage, words[0])
    elif command == "get":
        egress(context, f"{words[0]}={get(context, words[0])}")
    elif command == "count":
        context.storage.number = (context.storage.number or 0) + 1
        egress(context, f"count={context.storage.number}")
    elif command == "send":
        context.send(message(context, *words))
    elif command == "after":
        token = "" if words[1] == "-" else words[1]
        context.send_after(timedelta(milliseconds=int(words[0])), message(context, *words[2:]), token)
    elif command == "cancel":
        context.cancel_delayed_message(words[0])
    elif command == "ping":
        n = int(words[0])
        egress(context, f"ping {n}")
        if n > 0:
            caller = context.caller
            context.send(message(context, caller.typename, caller.id, f"ping+{n - 1}"))
    elif command == "ring":
        egress(context, "ring")
        target, _, rest = words[0].partition(":")
        if target:
            context.send(message(context, target + "/script", "self", "ring+" + rest))
    elif command == "egress":
        egress(context, words[0])
    elif command == "typed":
        egress(context, int(words[0]), IntType)
    elif command == "lost":
        egress(context, "lost", typename="sdks.io/nowhere")
    elif command == "self":
        egress(context, f"self={context.address.name}/{context.address.id}")
    elif command == "caller":
        caller = context.caller
        egress(context, "caller=" + (f"{caller.name}/{caller.id}" if caller else "none"))
    elif command == "sleep":
        return int(words[0]) / 1000
    elif command == "peak":
        egress(context, f"peak={peak}")
    elif command == "fail":
        fail(words[0], int(words[1]))
    elif command == "throw":
        raise RuntimeError("the script throws")
    else:
        raise RuntimeError(f"unknown command {command!r}")
    return 0


def commands(arriving):
    for command in arriving.as_string().split(";"):
        name, *words = command.split(" ")
        yield name, words


def plain(context, arriving):
    for name, words in commands(arriving):
        run(context, name, words)


async def awaiting(context, arriving):
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
    functions.register(f"{NAMESPACE}/{kind}", awaiting if MODE == "async" else plain, value_specs(SPECS))
handler = RequestReplyHandler(functions)


async def statefun(request):
    body = await request.read()
    if MODE == "async":
        answer = await handler.handle_async(body)
    else:
        answer = await asyncio.to_thread(handler.handle_sync, body)
    return web.Response(body=answer, content_type="application/octet-stream")


app = web.Application()
app.router.add_post("/statefun", statefun)
web.run_app(app, host="127.0.0.1", port=int(PORT))
