"""Other servers, started all in one way, which is ours: with --port, and with our first line.

    python peers.py NAME [MODULE:CALLABLE] [--port PORT] [--log]

NAME is a function below, and the application is found in the current folder, too. Every queue of
connections is as long as ours, and --log asks for a line for each request. All the rest is as
these servers have it by default.
"""

import argparse
import asyncio
import contextlib
import importlib
import os
import socket
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

BACKLOG = 1024  # connections that may wait for accept
BUFFER_SIZE = 64 * 1024  # bytes


def announce(port):
    """Print the line that says on which port the server listens."""
    print(f"Listening on http://127.0.0.1:{port}", flush=True)


def serve_wsgiref(application, port, *mixins):
    """Serve forever with wsgiref, whose server class a mixin from socketserver may change."""
    kind = type("Server", (*mixins, WSGIServer), {"request_queue_size": BACKLOG})
    server = kind(("127.0.0.1", port), WSGIRequestHandler)
    server.set_app(application)
    announce(server.server_port)
    server.serve_forever()


def wsgiref(application, port, log):
    """Serve one client after another."""
    serve_wsgiref(application, port)


def wsgiref_fork(application, port, log):
    """Serve each client in a child, at most 40 at once: the mixin's own limit."""
    serve_wsgiref(application, port, socketserver.ForkingMixIn)


def wsgiref_threads(application, port, log):
    """Serve each client in a thread."""
    serve_wsgiref(application, port, socketserver.ThreadingMixIn)


def werkzeug(application, port, log):
    """Serve as `flask run` does: the development server, with a thread for each client."""
    from werkzeug import serving

    serving.LISTEN_QUEUE = BACKLOG
    server = serving.make_server("127.0.0.1", port, application, threaded=True)
    announce(server.port)
    server.serve_forever()


def waitress(application, port, log):
    """Serve with 4 threads, behind an event loop that reads and writes. It has no log."""
    from waitress import create_server

    server = create_server(application, host="127.0.0.1", port=port, backlog=BACKLOG)
    announce(server.effective_port)
    server.run()


def cheroot(application, port, log):
    """Serve with 10 threads. It has no log."""
    from cheroot.wsgi import Server

    server = Server(("127.0.0.1", port), application, request_queue_size=BACKLOG)
    server.prepare()
    announce(server.bind_addr[1])
    server.serve()


def gunicorn(application, port, log):
    """Serve one client after another in a worker process, which its parent watches."""
    from gunicorn.app.base import BaseApplication

    class Gunicorn(BaseApplication):
        def load_config(self):
            self.cfg.set("bind", f"127.0.0.1:{port}")
            self.cfg.set("control_socket_disable", True)
            self.cfg.set("accesslog", "-" if log else None)
            self.cfg.set("when_ready", lambda self: announce(self.LISTENERS[0].getsockname()[1]))

        def load(self):
            return application

    Gunicorn().run()


def uvicorn(application, port, log):
    """Serve with asyncio: a2wsgi runs the application in threads, and hands on what it gives."""
    from a2wsgi import WSGIMiddleware
    from uvicorn import Config, Server

    config = Config(WSGIMiddleware(application), http="h11", lifespan="off", access_log=log)
    with socket.create_server(("127.0.0.1", port), backlog=BACKLOG) as listener:
        announce(listener.getsockname()[1])
        Server(config).run([listener])


def echo_asyncio(port):
    """Echo with asyncio's streams."""

    async def echo(reader, writer):
        while data := await reader.read(BUFFER_SIZE):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve():
        server = await asyncio.start_server(echo, "127.0.0.1", port, backlog=BACKLOG)
        announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def echo_socketserver(port):
    """Echo with socketserver, one client after another."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(BUFFER_SIZE):
                self.request.sendall(data)

    with socketserver.TCPServer(("127.0.0.1", port), Echo) as server:
        announce(server.server_address[1])
        server.serve_forever()


def main():
    """Serve as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("application", nargs="?")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", action="store_true")
    arguments = parser.parse_intermixed_args()
    serve = globals()[arguments.name]
    sys.path[0] = os.getcwd()  # this folder has modules of its own, whose names others may want
    with contextlib.suppress(KeyboardInterrupt):
        if arguments.application is None:
            serve(arguments.port)
        else:
            module, _, name = arguments.application.partition(":")
            application = getattr(importlib.import_module(module), name)
            if not callable(application):
                sys.exit(f"{arguments.application} cannot be called.")
            serve(application, arguments.port, arguments.log)


if __name__ == "__main__":
    main()
