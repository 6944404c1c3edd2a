/* Faults on purpose, by seed, for the tests: in builds with GENET_FAULTS only.
 *
 * The environment variable GENET_FAULTS=SEED:RATE makes RATE of 1,000 calls of the
 * host's own go wrong from gn_faults_begin() on: reads and writes of a single byte,
 * EINTR, a peer that has reset the connection, accept() without descriptors, memory
 * that cannot be had. The same seed gives the same faults to the same calls. */
#ifndef GN_FAULTS_H
#define GN_FAULTS_H

#include <stdbool.h>

#if defined(GENET_FAULTS)
/* Puts the faulty calls into the table of real ones, if the environment asks for them.
 */
void gn_faults_begin(void);

/* Whether the last recv() was cut short by a fault: then, unlike in life, more is
 * there. */
bool gn_faults_cut(void);
#else
static inline void gn_faults_begin(void)
{
}
static inline bool gn_faults_cut(void)
{
    return false;
}
#endif

#endif
