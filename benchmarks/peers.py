"""Other servers, started all in one way: on a free port, and with our servers' first line.

    python peers.py NAME [MODULE]

NAME is a function below; MODULE has the callable `application`. Every queue of connections is
as long as ours. All the rest is as these servers have it by default.
"""

import asyncio
import importlib
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

BACKLOG = 1024  # connections that may wait for accept
BUFFER_SIZE = 64 * 1024  # bytes


def announce(port):
    """Print the line that says on which port the server listens."""
    print(f"Listening on http://127.0.0.1:{port}", flush=True)


def serve_wsgiref(application, *mixins):
    """Serve for ever with wsgiref, whose server class a mixin from socketserver may change."""
    kind = type("Server", (*mixins, WSGIServer), {"request_queue_size": BACKLOG})
    server = kind(("127.0.0.1", 0), WSGIRequestHandler)
    server.set_app(application)
    announce(server.server_port)
    server.serve_forever()


def wsgiref(application):
    """Serve one client after another."""
    serve_wsgiref(application)


def wsgiref_fork(application):
    """Serve each client in a child, at most 40 at once: the mixin's own limit."""
    serve_wsgiref(application, socketserver.ForkingMixIn)


def wsgiref_threads(application):
    """Serve each client in a thread."""
    serve_wsgiref(application, socketserver.ThreadingMixIn)


def werkzeug(application):
    """Serve as `flask run` does: the development server, with a thread for each client."""
    from werkzeug import serving

    serving.LISTEN_QUEUE = BACKLOG
    server = serving.make_server("127.0.0.1", 0, application, threaded=True)
    announce(server.port)
    server.serve_forever()


def waitress(application):
    """Serve with 4 threads, behind an event loop that reads and writes."""
    from waitress import create_server

    server = create_server(application, host="127.0.0.1", port=0, backlog=BACKLOG)
    announce(server.effective_port)
    server.run()


def cheroot(application):
    """Serve with 10 threads."""
    from cheroot.wsgi import Server

    server = Server(("127.0.0.1", 0), application, request_queue_size=BACKLOG)
    server.prepare()
    announce(server.bind_addr[1])
    server.serve()


def echo_asyncio():
    """Echo with asyncio's streams."""

    async def echo(reader, writer):
        while data := await reader.read(BUFFER_SIZE):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve():
        server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=BACKLOG)
        announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def echo_socketserver():
    """Echo with socketserver, one client after another."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(BUFFER_SIZE):
                self.request.sendall(data)

    with socketserver.TCPServer(("127.0.0.1", 0), Echo) as server:
        announce(server.server_address[1])
        server.serve_forever()


def main():
    """Serve as the command line says."""
    name, *modules = sys.argv[1:]
    globals()[name](*(importlib.import_module(module).application for module in modules))


if __name__ == "__main__":
    main()
