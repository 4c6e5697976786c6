"""A client of the echo server: send a message, and print what comes back."""

import argparse
import os
import socket
import sys

BUFFER_SIZE = 64 * 1024  # bytes


def echo(host, port, message):
    """Send the bytes of message to an echo server, and return the bytes that came back.

    Only one piece is ever under way. To send a long message whole before reading any
    of its echo would block both sides: each would wait until the other reads.
    Raises OSError if there is no server, or if it goes away.
    """
    reply = bytearray()
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # 1. create
    with connection:
        connection.connect((host, port))  # 2. connect
        for start in range(0, len(message), BUFFER_SIZE):
            piece = message[start : start + BUFFER_SIZE]
            connection.sendall(piece)  # 3. send
            while len(reply) < start + len(piece):
                data = connection.recv(BUFFER_SIZE)  # 4. receive
                if not data:
                    raise ConnectionError("the server closed the connection")
                reply += data
    return bytes(reply)


def main():
    """Read the command line, send the message, and print the reply."""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # a mistake gets one line
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("message", metavar="MESSAGE")
    parser.add_argument("--host", default="127.0.0.1", help="the server's address")
    parser.add_argument("--port", type=int, default=8000, help="the server's port")
    arguments = parser.parse_args()
    try:
        reply = echo(arguments.host, arguments.port, os.fsencode(arguments.message))
    except (OSError, OverflowError, TypeError) as error:
        parser.error(f"no echo from {arguments.host}:{arguments.port}: {error}")
    sys.stdout.buffer.write(reply + b"\n")


if __name__ == "__main__":
    main()
