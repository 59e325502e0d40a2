/* $title: an emulation for audio at $rate Hz, written by fxemu. C99 and C++, no dependencies, no allocation.
 *
 *   ${name}_state state;                       all that it remembers: one for each channel
 *   ${name}_init(&state);                      to silence
 *   ${name}_process(&state, dry, wet, n);      n samples, any number; dry and wet may be the same$knob_usage
 *
 * The same at any rate from $lowest_rate to $highest_rate Hz, resampled inside:
 *
 *   ${name}_host host;
 *   late = ${name}_host_init(&host, rate);     samples by which wet is late; -1 for another rate
 *   ${name}_host_process(&host, dry, wet, n);
 *   ${name}_host_reset(&host);                 to silence again
 *
 * A sample that is NaN or infinite counts as 0, and a state that is not finite starts again.
 */
#ifndef ${name}_H
#define ${name}_H

#define ${name}_SAMPLE_RATE $rate
/* Samples at that rate by which wet is late. */
#define ${name}_LATENCY $latency$knob_numbers

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int t;$knob_members
$members
} ${name}_state;

void ${name}_init(${name}_state *s);
void ${name}_process(${name}_state *s, const float *dry, float *wet, int n);$knob_function

typedef struct {
  int rate, target, taps, phases, held, first, rest;
  float x[$host_samples], table[$host_table];
} ${name}_resampler;

typedef struct {
  int rate, latency, chunk;
  ${name}_resampler in, out;
  ${name}_state model;
} ${name}_host;

int ${name}_host_init(${name}_host *h, int rate);
void ${name}_host_reset(${name}_host *h);
void ${name}_host_process(${name}_host *h, const float *dry, float *wet, int n);

#ifdef __cplusplus
}
#endif
#endif
