$header
/* To check it on your machine: cc -std=c99 -O2 -DSELF_CHECK this.c -lm && ./a.out
 * For speed: -O3 -march=native -ffast-math
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define BLOCK $block_samples

/* Built for any x86-64, it takes at load what this processor's vectors allow. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12 && !defined(__AVX2__)
#define CLONED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONED
#endif

$helpers

$tables

void ${name}_init(${name}_state *s)
{
  memset(s, 0, sizeof *s);
$start
}
$knobs
/* n samples that fit into the rest of the block$and_period. */
CLONED static void run(${name}_state *s, const float *dry, float *wet, int n)
{
  int t = s->t;
  const int end = t + n;
  copy_finite($dry, dry, n);$turn_knobs
$block
  for (; t < end; t++) {
$sample
  }
  t = s->t;
  copy_finite(wet, $wet, n);
  s->t = end;$turned
  if (end == BLOCK) {
    s->t = 0;
$slide
  }
}

void ${name}_process(${name}_state *s, const float *dry, float *wet, int n)
{
  while (n > 0) {
    const int count = $most;
    run(s, dry, wet, count);
    dry += count;
    wet += count;
    n -= count;
  }
}

$host

#ifdef SELF_CHECK
#include <stdio.h>

$check

int main(void)
{
  static ${name}_state state;
  static float wet[$check_samples];
  float error = 0.0f;
  int i;
  ${name}_init(&state);
  for (i = 0; i < $check_samples; i += 100) {$turn
    ${name}_process(&state, check_dry + i, wet + i, $check_samples - i < 100 ? $check_samples - i : 100);
  }
  for (i = 0; i < $check_samples; i++) error = fmaxf(error, fabsf(wet[i] - check_wet[i]));
  printf("played by C: within %.1e of the model over %d samples\n", error, $check_samples);
  return error <= $tolerance ? 0 : 1;
}
#endif
