"""A remote function on the official StateFun Python SDK: it counts how often each name came by and sends a
greeting with the count to a Kafka topic. The same as examples/greeter-go, served by aiohttp."""

import argparse

from aiohttp import web
from statefun import (
    Context,
    LongType,
    Message,
    RequestReplyHandler,
    StatefulFunctions,
    ValueSpec,
    kafka_egress_message,
)

functions = StatefulFunctions()


@functions.bind(
    typename="example/greeter",
    # Kept by the runtime, one value a name; it comes with each call.
    specs=[ValueSpec(name="visits", type=LongType)],
)
async def greet(context: Context, message: Message) -> None:
    """Runs once for each record; the instance's id is the record's key."""
    visits = (context.storage.visits or 0) + 1
    context.storage.visits = visits

    name = context.address.id
    context.send_egress(
        kafka_egress_message(
            typename="example/greets",
            topic="greetings",
            key=name,
            value=f"Hello {name}, visit number {visits}",
        )
    )


def application() -> web.Application:
    """The web application with the function under /statefun."""
    handler = RequestReplyHandler(functions)

    async def statefun(request: web.Request) -> web.Response:
        answer = await handler.handle_async(await request.read())
        return web.Response(body=answer, content_type="application/octet-stream")

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    app.router.add_post("/statefun", statefun)
    app.router.add_get("/healthz", health)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    web.run_app(
        application(),
        host=arguments.host,
        port=arguments.port,
        print=lambda _: print(f"listening={arguments.host}:{arguments.port}", flush=True),
    )


if __name__ == "__main__":
    main()
