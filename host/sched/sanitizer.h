/* What sanitizers are told of stacks that change, and of order that they do not see:
 * nothing in other builds. */
#ifndef GN_SANITIZER_H
#define GN_SANITIZER_H

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
/* For what it calls itself in a thread that it has not prepared yet. */
#define GN_WITHOUT_TSAN __attribute__((no_sanitize_thread))
#else
#define GN_WITHOUT_TSAN
#define __tsan_get_current_fiber() ((void *)0)
#define __tsan_create_fiber(flags) ((void *)0)
#define __tsan_destroy_fiber(fiber) ((void)(fiber))
#define __tsan_switch_to_fiber(fiber, flags) ((void)(fiber))
#define __tsan_acquire(address) ((void)(address))
#define __tsan_release(address) ((void)(address))
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(save, bottom, size) \
    ((void)(save), (void)(bottom), (void)(size))
#define __sanitizer_finish_switch_fiber(save, bottom, size) \
    ((void)(save), (void)(bottom), (void)(size))
#endif

#endif
