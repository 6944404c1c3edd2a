/* The cooperative libc, the whole list.
 *
 * GN_NAMES(X) calls X(return type, name, parameters, what it does on a fiber) for each
 * libc name that the host defines itself. The dynamic linker binds every library in the
 * process to these: on a fiber they park the fiber where libc would block the thread;
 * elsewhere they are the plain call. */
#ifndef GN_NAMES_H
#define GN_NAMES_H

#define GN_NAMES(X)                                                                    \
    /* poll.c */                                                                       \
    X(int, poll, (struct pollfd *, nfds_t, int), "parks")                              \
    X(int, ppoll,                                                                      \
      (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *), "parks")   \
    X(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *), "parks")     \
    X(int, pselect,                                                                    \
      (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *),  \
      "parks")                                                                         \
    X(int, epoll_wait, (int, struct epoll_event *, int, int), "parks")                 \
    X(int, epoll_pwait, (int, struct epoll_event *, int, int, const sigset_t *),       \
      "parks")                                                                         \
    /* socket.c */                                                                     \
    X(ssize_t, recv, (int, void *, size_t, int), "parks")                              \
    X(ssize_t, recvfrom, (int, void *, size_t, int, struct sockaddr *, socklen_t *),   \
      "parks")                                                                         \
    X(ssize_t, recvmsg, (int, struct msghdr *, int), "parks")                          \
    X(int, recvmmsg, (int, struct mmsghdr *, unsigned, int, struct timespec *),        \
      "parks")                                                                         \
    X(ssize_t, send, (int, const void *, size_t, int), "parks")                        \
    X(ssize_t, sendto,                                                                 \
      (int, const void *, size_t, int, const struct sockaddr *, socklen_t), "parks")   \
    X(ssize_t, sendmsg, (int, const struct msghdr *, int), "parks")                    \
    X(int, sendmmsg, (int, struct mmsghdr *, unsigned, int), "parks")                  \
    X(int, accept, (int, struct sockaddr *, socklen_t *), "parks")                     \
    X(int, accept4, (int, struct sockaddr *, socklen_t *, int), "parks")               \
    X(int, connect, (int, const struct sockaddr *, socklen_t), "parks")                \
    X(int, bind, (int, const struct sockaddr *, socklen_t),                            \
      "may adopt a listener of the host")                                              \
    X(int, listen, (int, int), "plain; a stream of the host listens already")          \
    X(int, getsockname, (int, struct sockaddr *, socklen_t *),                         \
      "plain; streams answer themselves")                                              \
    X(int, shutdown, (int, int), "plain; tells the stream's owner")                    \
    /* file.c */                                                                       \
    X(ssize_t, read, (int, void *, size_t), "parks on pipes, sockets, terminals")      \
    X(ssize_t, readv, (int, const struct iovec *, int),                                \
      "parks on pipes, sockets, terminals")                                            \
    X(ssize_t, write, (int, const void *, size_t),                                     \
      "parks on pipes, sockets, terminals")                                            \
    X(ssize_t, writev, (int, const struct iovec *, int),                               \
      "parks on pipes, sockets, terminals")                                            \
    X(ssize_t, sendfile, (int, int, off_t *, size_t), "parks on the receiver")         \
    X(int, close, (int), "plain; wakes who waits on the descriptor")                   \
    /* sleep.c */                                                                      \
    X(unsigned, sleep, (unsigned), "parks")                                            \
    X(int, usleep, (useconds_t), "parks")                                              \
    X(int, nanosleep, (const struct timespec *, struct timespec *), "parks")           \
    X(int, clock_nanosleep,                                                            \
      (clockid_t, int, const struct timespec *, struct timespec *), "parks")           \
    /* resolve.c */                                                                    \
    X(int, getaddrinfo,                                                                \
      (const char *, const char *, const struct addrinfo *, struct addrinfo **),       \
      "offloaded")                                                                     \
    X(struct hostent *, gethostbyname, (const char *), "offloaded")                    \
    X(int, getnameinfo,                                                                \
      (const struct sockaddr *, socklen_t, char *, socklen_t, char *, socklen_t, int), \
      "offloaded")                                                                     \
    /* process.c */                                                                    \
    X(pid_t, waitpid, (pid_t, int *, int), "parks")                                    \
    X(pid_t, wait, (int *), "parks, looks now and then")                               \
    X(pid_t, wait3, (int *, int, struct rusage *), "parks, looks now and then")        \
    X(pid_t, wait4, (pid_t, int *, int, struct rusage *), "parks")                     \
    X(int, waitid, (idtype_t, id_t, siginfo_t *, int), "parks")                        \
    X(int, system, (const char *), "parks")                                            \
    /* thread.c */                                                                     \
    X(int, pthread_create,                                                             \
      (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *),                \
      "a fiber, where the host asked for that")                                        \
    X(int, pthread_join, (pthread_t, void **), "parks for a fiber")                    \
    X(int, pthread_setname_np, (pthread_t, const char *), "names the fiber")           \
    X(int, pthread_key_create, (pthread_key_t *, void (*)(void *)),                    \
      "per fiber, where the host asked for that")                                      \
    X(void *, pthread_getspecific, (pthread_key_t), "per fiber for such keys")         \
    X(int, pthread_setspecific, (pthread_key_t, const void *),                         \
      "per fiber for such keys")                                                       \
    /* mutex.c */                                                                      \
    X(int, pthread_mutex_lock, (pthread_mutex_t *), "parks")                           \
    X(int, pthread_mutex_trylock, (pthread_mutex_t *),                                 \
      "excludes the other fibers too")                                                 \
    X(int, pthread_mutex_timedlock, (pthread_mutex_t *, const struct timespec *),      \
      "parks")                                                                         \
    X(int, pthread_mutex_clocklock,                                                    \
      (pthread_mutex_t *, clockid_t, const struct timespec *), "parks")                \
    X(int, pthread_mutex_unlock, (pthread_mutex_t *), "wakes fibers too")              \
    /* cond.c */                                                                       \
    X(int, pthread_cond_wait, (pthread_cond_t *, pthread_mutex_t *), "parks")          \
    X(int, pthread_cond_timedwait,                                                     \
      (pthread_cond_t *, pthread_mutex_t *, const struct timespec *), "parks")         \
    X(int, pthread_cond_clockwait,                                                     \
      (pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *),       \
      "parks")                                                                         \
    X(int, pthread_cond_signal, (pthread_cond_t *), "wakes fibers too")                \
    X(int, pthread_cond_broadcast, (pthread_cond_t *), "wakes fibers too")

/* Names that only lead to one of the above: the fortified twins that a library built
 * with _FORTIFY_SOURCE calls, and the one that large-file support renames. */
#define GN_ALIASES(X)           \
    X(__poll_chk, poll)         \
    X(__ppoll_chk, ppoll)       \
    X(__recv_chk, recv)         \
    X(__recvfrom_chk, recvfrom) \
    X(__read_chk, read)         \
    X(sendfile64, sendfile)

#endif
