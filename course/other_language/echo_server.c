/* The server of step 1 in another language: the same seven moves, and the same tests pass.
 *
 *     cc -o echo_server course/other_language/echo_server.c
 *     python -m pytest tests/test_step01_echo_socket.py --server ./echo_server
 */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, BUFFER_SIZE = 64 * 1024 };

/* Say in one line what is wrong, and end with status 2. */
static void fail(const char *host, const char *port, const char *reason)
{
    fprintf(stderr, "echo_server: error: cannot listen on %s:%s: %s\n", host, port, reason);
    exit(2);
}

/* Return the IPv4 address of a host name, with a port: "0" to "65535". See getaddrinfo(3). */
static struct sockaddr_in find_address(const char *host, const char *port)
{
    char *end;
    long number = strtol(port, &end, 10);
    if (*port == '\0' || *end != '\0' || number < 0 || number > 65535)
        fail(host, port, "a port is a number from 0 to 65535");
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(host, NULL, &hints, &found);
    if (error)
        fail(host, port, gai_strerror(error));
    struct sockaddr_in address = *(struct sockaddr_in *)found->ai_addr;
    address.sin_port = htons((unsigned short)number);
    freeaddrinfo(found);
    return address;
}

/* Return a socket that listens. Ends the program if the address cannot be had. */
static int listen_on(const char *host, const char *port)
{
    struct sockaddr_in address = find_address(host, port);
    int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);                         /* 1. create */
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);         /* 2. set options */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0    /* 3. bind */
        || listen(listener, BACKLOG) != 0)                                  /* 4. listen */
        fail(host, port, strerror(errno));
    return listener;
}

/* Write an address as text, such as "127.0.0.1:8000". */
static void name(const struct sockaddr_in *address, char text[32])
{
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    snprintf(text, 32, "%s:%d", host, ntohs(address->sin_port));
}

/* Send all bytes of data: send may take fewer than it is given. Return 0, or -1 for an error. */
static int send_all(int connection, const char *data, ssize_t size)
{
    while (size > 0) {
        ssize_t taken = send(connection, data, (size_t)size, 0);
        if (taken < 0)
            return -1;
        data += taken;
        size -= taken;
    }
    return 0;
}

/* Send back all that arrives on a connected socket, until the client's end of stream. */
static void handle(int connection)
{
    static char buffer[BUFFER_SIZE];
    struct sockaddr_in ours, theirs;
    socklen_t our_size = sizeof ours, their_size = sizeof theirs;
    char server[32], client[32];
    ssize_t size;
    if (getsockname(connection, (struct sockaddr *)&ours, &our_size) != 0
        || getpeername(connection, (struct sockaddr *)&theirs, &their_size) != 0)
        return; /* this client has gone already; the next one has not */
    name(&ours, server);
    name(&theirs, client);
    printf("[%d] %s connected to %s\n", (int)getpid(), client, server);
    while ((size = recv(connection, buffer, sizeof buffer, 0)) > 0) {
        if (send_all(connection, buffer, size) != 0)
            break;
    }
    if (size != 0) /* not the end of the stream, but an error: this client is lost */
        printf("[%d] %s %s\n", (int)getpid(), client, strerror(errno));
}

/* Serve one client after another, for ever. */
static void serve(int listener)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    char text[32];
    getsockname(listener, (struct sockaddr *)&address, &size);
    name(&address, text);
    printf("Listening on %s\n", text);
    for (;;) {
        int connection = accept(listener, NULL, NULL); /* 5. accept */
        if (connection < 0) {                          /* no descriptor is free, for example */
            printf("[%d] server cannot accept: %s\n", (int)getpid(), strerror(errno));
            usleep(100 * 1000);
            continue;
        }
        handle(connection);                            /* 6. read and answer */
        close(connection);                             /* 7. close, and accept again */
    }
}

/* Ctrl-C is no mistake: end with status 0. */
static void stop(int number)
{
    (void)number;
    _exit(0);
}

/* Read the command line, listen, and serve until Ctrl-C. */
int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"host", required_argument, NULL, 'h'},
        {"port", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    const char *host = "127.0.0.1", *port = "8000";
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h')
            host = optarg;
        else if (option == 'p')
            port = optarg;
        else
            return 2; /* getopt_long has said why */
    }
    if (optind < argc) {
        fprintf(stderr, "echo_server: error: unrecognized argument: %s\n", argv[optind]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* print each line at once, into a pipe, too */
    signal(SIGPIPE, SIG_IGN);         /* to send to a client that has gone is an error, no end */
    signal(SIGINT, stop);
    serve(listen_on(host, port));
}
