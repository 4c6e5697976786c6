/* The server of steps 4 and 5 in another language: a child answers each client.
 *
 *     cc -DREAP -o fork_server course/other_language/fork_server.c
 *     python -m pytest tests/test_step05_zombies.py --server ./fork_server
 *
 * Without -DREAP it is the server of step 4: nobody waits for its children. The pages are those of
 * tests/applications/fork_apps.py, built in: see "In another language" in the README of step 4.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int listener, connection;    /* descriptors */
static int count;                   /* of the requests, for the page /count */
static char text[1000000];
static volatile sig_atomic_t stops; /* a stop signal came */

/* Send the head of a response whose body has so many bytes. */
static void send_head(const char *status, size_t length)
{
    dprintf(connection, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n", status, length);
    dprintf(connection, "Connection: close\r\n\r\n");
}

/* Send a whole response. */
static void answer(const char *status, const char *body)
{
    send_head(status, strlen(body));
    dprintf(connection, "%s", body);
}

/* Make the page that a path names; its argument is what stands behind the question mark. */
static void make_page(const char *path, const char *argument)
{
    sprintf(text, "%d", (int)getpid());
    if (strcmp(path, "/process") == 0) {
        sprintf(text, "%d %d", (int)getpid(), (int)getppid());
        answer("200 OK", text);
    } else if (strcmp(path, "/count") == 0) {
        sprintf(text, "%d", ++count); /* this process changes its own copy of the memory */
        answer("200 OK", text);
    } else if (strcmp(path, "/gate") == 0) {
        int gate = open(argument, O_RDONLY); /* a named pipe; the other end is the test's */
        send_head("200 OK", strlen(text) + strlen("\nthe rest"));
        dprintf(connection, "%s\n", text);
        while (read(gate, text, sizeof text) > 0) {
        }
        dprintf(connection, "the rest");
    } else if (strcmp(path, "/big") == 0) {
        send_head("200 OK", 32 * sizeof text);
        for (int n = 0; n < 32 && write(connection, text, sizeof text) > 0; n++) {
        }
    } else if (strcmp(path, "/print") == 0) {
        printf("<%s>", argument); /* it waits in the buffer of stdout */
        fprintf(stderr, "<%s>", argument);
        answer("200 OK", "printed");
    } else if (strcmp(path, "/program") == 0) {
        sprintf(text, "%d", WEXITSTATUS(system("exit 3")));
        answer("200 OK", text);
    } else if (strcmp(path, "/end") == 0) {
        answer("200 OK", text);
        if (strcmp(argument, "_exit") == 0)
            _exit(3);
        if (strcmp(argument, "abort") == 0)
            abort();
        if (strcmp(argument, "kill") == 0)
            raise(SIGKILL);
    } else {
        answer("404 Not Found", "There is no such page.\n");
    }
}

/* Read a request, "GET /path?argument HTTP/1.1" and so on to an empty line, and answer it. */
static void handle(void)
{
    static char request[8192], path[1024], argument[1024]; /* static: full of zeros */
    size_t size = 0;
    while (!strstr(request, "\r\n\r\n")) {
        ssize_t more = recv(connection, request + size, sizeof request - 1 - size, 0);
        if (more <= 0)
            return; /* the client has gone, or the request is too long */
        size += more;
    }
    sscanf(request, "GET %1023[^? ]?%1023[^ ]", path, argument);
    make_page(path, argument);
    printf("[%d] GET %s\n", (int)getpid(), path);
}

/* End at once, with status 0: after Ctrl-C in step 4, when the time is over in step 5. */
static void end(int number)
{
    (void)number;
    _exit(0);
}

#ifdef REAP
/* Wait for all children that have ended: there may be several, though one signal came. */
static void reap(int number)
{
    (void)number;
    int before = errno; /* of the call that the signal has interrupted */
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    errno = before;
}

/* Take no new client: accept fails from now on, and the loop in main ends. */
static void stop(int number)
{
    if (!stops)
        close(listener);
    stops = number; /* it may come again: then another descriptor could have that number */
}
#endif

/* Serve one client in the child, then end this process: it never returns. */
static void work(void)
{
#ifdef REAP
    signal(SIGCHLD, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_IGN); /* Ctrl-C comes to the children, too: they finish their work */
#endif
    close(listener);
    handle();
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1;
    for (int n = 1; n + 1 < argc; n++) /* the name of a Python application is for others */
        if (strcmp(argv[n], "--port") == 0)
            address.sin_port = htons((unsigned short)atoi(argv[n + 1]));
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1024) != 0) {
        perror("fork_server: cannot listen");
        return 2;
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    memset(text, 'x', sizeof text);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* abort leaves no core file */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, end);
#ifdef REAP
    signal(SIGCHLD, reap);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    signal(SIGALRM, end);
#endif
    printf("Listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout); /* before the first fork: each child has a copy of what is buffered */
    while (!stops) {
        connection = accept(listener, NULL, NULL);
        if (connection < 0) /* no descriptor is free, for example, or the listener is closed */
            continue;
        pid_t pid = fork();
        if (pid == 0)
            work();
        if (pid < 0) {
            answer("503 Service Unavailable", "The server cannot fork.\n");
            recv(connection, text, sizeof text, MSG_DONTWAIT); /* what nobody reads is a reset */
        }
        close(connection); /* the parent's copy */
    }
    alarm(10); /* then end, whatever the children do */
    while (wait(NULL) > 0) {
    }
    return 0;
}
