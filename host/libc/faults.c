#include "faults.h"

#include "real.h"

#if defined(GENET_FAULTS)

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static struct gn_real sound; /* the calls as they were */
static uint64_t state;       /* of a xorshift generator; 0: no faults */
static unsigned rate;
static bool cut;

/* A number below `n`. */
static unsigned draw(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % n);
}

static bool strikes(void)
{
    return state != 0 && draw(1000) < rate;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- calls ---- */

bool gn_faults_cut(void)
{
    return cut;
}

static ssize_t faulty_recv(int fd, void *buf, size_t n, int flags)
{
    cut = false;
    if (!strikes())
        return sound.recv(fd, buf, n, flags);
    switch (draw(4)) {
    case 0:
        return fail(EINTR);
    case 1:
        return fail(ECONNRESET);
    default:
        cut = n > 1;
        return sound.recv(fd, buf, n ? 1 : 0, flags);
    }
}

static ssize_t faulty_send(int fd, const void *buf, size_t n, int flags)
{
    if (!strikes())
        return sound.send(fd, buf, n, flags);
    switch (draw(4)) {
    case 0:
        return fail(EINTR);
    case 1:
        return fail(EPIPE);
    default:
        return sound.send(fd, buf, n ? 1 : 0, flags);
    }
}

static ssize_t faulty_sendmsg(int fd, const struct msghdr *m, int flags)
{
    const struct iovec *iov = m->msg_iov;
    if (strikes())
        return faulty_send(fd, iov->iov_base, iov->iov_len ? 1 : 0, flags);
    return sound.sendmsg(fd, m, flags);
}

static ssize_t faulty_sendfile(int out, int in, off_t *offset, size_t n)
{
    if (!strikes())
        return sound.sendfile(out, in, offset, n);
    switch (draw(4)) {
    case 0:
        return fail(EINTR);
    case 1:
        return fail(EPIPE);
    default:
        return sound.sendfile(out, in, offset, n ? 1 : 0);
    }
}

static int faulty_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, EINTR, ECONNABORTED};
    if (strikes())
        return fail(errors[draw(5)]);
    return sound.accept4(fd, addr, len, flags);
}

void gn_faults_begin(void)
{
    const char *wish = getenv("GENET_FAULTS");
    unsigned long seed;
    if (!wish || sscanf(wish, "%lu:%u", &seed, &rate) != 2)
        return;
    sound = *gn_real();
    state = 88172645463325252u ^ seed;
    gn_real_table.recv = faulty_recv;
    gn_real_table.send = faulty_send;
    gn_real_table.sendmsg = faulty_sendmsg;
    gn_real_table.sendfile = faulty_sendfile;
    gn_real_table.accept4 = faulty_accept4;
}

/* ---- memory: of the host's own objects, by the linker's --wrap ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

static bool out_of_memory(void)
{
    if (!strikes())
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return out_of_memory() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return out_of_memory() ? NULL : __real_calloc(count, n);
}

/* Shrinking never fails: Lua relies on that. */
void *__wrap_realloc(void *p, size_t n)
{
    return !p && out_of_memory() ? NULL : __real_realloc(p, n);
}

#endif
