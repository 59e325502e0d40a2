
/* Of each knob: its range, and how its position from -1 to 1 follows, as offset + slope * its value or its logarithm. */
static const struct { float low, high, offset, slope; int by_ratio; } knob_tapers[${name}_KNOBS] = {
  $tapers
};

static void run(${name}_state *s, const float *dry, float *wet, int n);

void ${name}_set_knob(${name}_state *s, int knob, float value)
{
  float low, high, position;
  if (knob < 0 || knob >= ${name}_KNOBS || !all_finite(&value, 1)) return;
  low = knob_tapers[knob].low, high = knob_tapers[knob].high;
  value = value < low ? low : value > high ? high : value;
  position = knob_tapers[knob].offset + knob_tapers[knob].slope * (knob_tapers[knob].by_ratio ? logf(value) : value);
  s->left[knob] = s->fresh ? 0.0f : s->left[knob] + s->aimed[knob] - position;
  s->aimed[knob] = position;
}

/* The positions at each of n samples: what is left of a turn fades by one pole of $smoothing_ms ms. */
static void turn(${name}_state *s, float *z, int n)
{
  int k;
  for (; n > 0; n--)
    for (k = 0; k < ${name}_KNOBS; k++) {
      s->left[k] = fabsf(s->left[k]) > 1e-7f ? $kept * s->left[k] : 0.0f;
      *z++ = s->aimed[k] + s->left[k];
    }
}

/* Silence before the first sample, in dry and in wet, with the knobs where they stand. */
static void settle(${name}_state *s)
{
  const float silence = 0.0f;
  float wet;
  int n;
  for (s->fresh = 0, n = $warm_up; n > 0; n--) {
    run(s, &silence, &wet, 1);$silence
  }
}

/* To silence, with the knobs where they stand. */
static void restart(${name}_state *s)
{
  float aimed[${name}_KNOBS];
  memcpy(aimed, s->aimed, sizeof aimed);
  ${name}_init(s);
  memcpy(s->aimed, aimed, sizeof aimed);
}
