#include "redis_url.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_PORT = 6379 };

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Decodes %XX in place. */
static bool decode(char *text)
{
    char *out = text;
    for (char *in = text; *in; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        if (!isxdigit((unsigned char)in[1]) || !isxdigit((unsigned char)in[2]))
            return false;
        *out++ = (char)(digit(in[1]) * 16 + digit(in[2]));
        in += 2;
    }
    *out = '\0';
    return true;
}

/* Cuts at the last `c` before `end`. Returns what follows; NULL when there is none. */
static char *cut(char *text, const char *end, char c)
{
    char *at = memrchr(text, c, (size_t)(end - text));
    if (!at)
        return NULL;
    *at = '\0';
    return at + 1;
}

static const char *read_prefix(struct gn_redis_url *p, char *query)
{
    static const char key[] = "prefix=", legal[] =
                                             "abcdefghijklmnopqrstuvwxyz"
                                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    if (!query)
        return NULL;
    if (strncmp(query, key, sizeof key - 1) != 0)
        return "the only parameter is 'prefix'";
    p->prefix = query + sizeof key - 1;
    if (!*p->prefix || p->prefix[strspn(p->prefix, legal)])
        return "a prefix is made of letters, digits, '_', '.' and '-'";
    return NULL;
}

static const char *read_secret(struct gn_redis_url *p, char *text)
{
    char *password = strchr(text, ':');
    if (!password)
        return "a password is written ':PASSWORD@'";
    *password++ = '\0';
    if (!decode(text) || !decode(password))
        return "'%' is followed by two hexadecimal digits";
    p->user = *text ? text : NULL;
    p->password = password;
    return NULL;
}

static const char *read_port(struct gn_redis_url *p, const char *text)
{
    char *end;
    if (!text)
        return NULL;
    long port = strtol(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || port < 1 || port > 65535)
        return "a port is a number from 1 to 65535";
    p->port = (int)port;
    return NULL;
}

static const char *read_host(struct gn_redis_url *p, char *text)
{
    char *end = text + strlen(text), *port;
    if (*text == '[') {
        char *bracket = strchr(++text, ']');
        if (!bracket || (bracket[1] && bracket[1] != ':'))
            return "']' is missing";
        port = bracket[1] ? bracket + 2 : NULL;
        *bracket = '\0';
    } else {
        port = cut(text, end, ':');
    }
    if (!*text)
        return "the host is missing";
    p->host = text;
    snprintf(p->shown, sizeof p->shown, "%s:%s", text, port ? port : "6379");
    return read_port(p, port);
}

static const char *read_rest(struct gn_redis_url *p, char *rest, bool is_path)
{
    char *end = rest + strcspn(rest, "/?");
    char *address = cut(rest, end, '@');
    const char *problem = address ? read_secret(p, rest) : NULL;
    char *at = address ? address : rest;
    if (!problem)
        problem = read_prefix(p, cut(at, at + strlen(at), '?'));
    if (problem)
        return problem;
    if (is_path) {
        p->path = at;
        snprintf(p->shown, sizeof p->shown, "%s", at);
        return *at != '/' || !decode(at) ? "the path must begin with '/'" : NULL;
    }
    char *slash = strchr(at, '/');
    if (slash) {
        *slash++ = '\0';
        if (slash[strspn(slash, "0123456789")])
            return "after the host comes the number of a database, or nothing";
    }
    return read_host(p, at);
}

static const char *skip(const char *text, const char *start)
{
    size_t n = strlen(start);
    return strncasecmp(text, start, n) == 0 ? text + n : NULL;
}

const char *gn_redis_url_read(struct gn_redis_url *p, const char *url)
{
    const char *unix_rest = skip(url, "redis+unix://"), *rest = skip(url, "redis://");
    *p = (struct gn_redis_url){.port = USUAL_PORT, .prefix = "genet"};
    if (skip(url, "rediss://"))
        return "TLS is not spoken to Redis: use redis:// to a tunnel such as stunnel";
    if (!unix_rest && !rest)
        return "it must begin with redis:// or redis+unix://";
    p->text = strdup(unix_rest ? unix_rest : rest);
    if (!p->text)
        return "out of memory";
    return read_rest(p, p->text, unix_rest);
}
