/* $title: an emulation for audio at $rate Hz, written by fxemu. C99 and C++, no dependencies, no allocation.
 *
 *   ${name}_state state;                       all that it remembers: one for each channel
 *   ${name}_init(&state);                      to silence
 *   ${name}_process(&state, dry, wet, n);      n samples, any number; dry and wet may be the same
 *
 * A sample that is NaN or infinite counts as 0, and a state that is not finite starts again.
 */
#ifndef ${name}_H
#define ${name}_H

#define ${name}_SAMPLE_RATE $rate
/* Samples by which wet is late. */
#define ${name}_LATENCY $latency

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int t;
$members
} ${name}_state;

void ${name}_init(${name}_state *s);
void ${name}_process(${name}_state *s, const float *dry, float *wet, int n);

#ifdef __cplusplus
}
#endif
#endif
