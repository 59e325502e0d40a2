
/* The LV2 plugin: the part of lv2/core/lv2.h that it needs (http://lv2plug.in/ns/lv2core, ISC license). */
#include <stdio.h>
#include <stdlib.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#define PART 64
/* Gains and bypass follow their ports within some 10 ms, so that they do not click. */
#define SMOOTHING_S 0.005

typedef struct lv2_descriptor_struct {
  const char *uri;
  void *(*instantiate)(const struct lv2_descriptor_struct *, double, const char *, const void *const *);
  void (*connect_port)(void *, uint32_t, void *);
  void (*activate)(void *);
  void (*run)(void *, uint32_t);
  void (*deactivate)(void *);
  void (*cleanup)(void *);
  const void *(*extension_data)(const char *);
} lv2_descriptor_t;

#ifdef __cplusplus
extern "C"
#endif
const lv2_descriptor_t *lv2_descriptor(uint32_t index);

enum { DRY, WET, LATENCY, INPUT_GAIN, OUTPUT_GAIN, ENABLED, PORTS };
enum { INPUT, OUTPUT, SHARE, SMOOTHED };
enum { KNOBS = $knobs };

typedef struct {
  void *ports[PORTS + KNOBS];
  float smoothed[SMOOTHED], step;
  int fresh, latency, at;
  /* Dry, as late as wet is. */
  float *late;
  ${name}_host host;
} plugin;

static void turn_knobs(plugin *p)
{
  (void)p;$turn_knobs
}

/* It comes to rest here, with the knobs where the host has put them already, and not while audio plays. */
static void activate(void *handle)
{
  plugin *p = (plugin *)handle;
  turn_knobs(p);
  ${name}_host_reset(&p->host);
  memset(p->late, 0, ((size_t)p->latency + 1) * sizeof *p->late);
  p->at = 0;
  p->fresh = 1;
}

static void *instantiate(const lv2_descriptor_t *d, double rate, const char *path, const void *const *features)
{
  plugin *p = (plugin *)calloc(1, sizeof *p);
  (void)d, (void)path, (void)features;
  if (!p) return NULL;
  p->latency = rate < 1e6 ? ${name}_host_init(&p->host, (int)(rate + 0.5)) : -1;
  if (p->latency < 0) {
    fprintf(stderr, "$name: made for rates from $lowest_rate to $highest_rate Hz, and the host runs at %g Hz\n", rate);
    free(p);
    return NULL;
  }
  p->step = (float)(1.0 - exp(-1.0 / (SMOOTHING_S * rate)));
  p->late = (float *)calloc((size_t)p->latency + 1, sizeof *p->late);
  if (p->late) return p;
  free(p);
  return NULL;
}

static void cleanup(void *handle)
{
  free(((plugin *)handle)->late);
  free(handle);
}

static void connect_port(void *handle, uint32_t port, void *data)
{
  if (port < PORTS + KNOBS) ((plugin *)handle)->ports[port] = data;
}

/* What a control port says, within its range. */
static float control(const plugin *p, int port, float low, float high, float usual)
{
  float value = usual;
  if (p->ports[port]) copy_finite(&value, (const float *)p->ports[port], 1);
  return value < low ? low : value > high ? high : value;
}

static float gain(const plugin *p, int port)
{
  return powf(10.0f, control(p, port, -60.0f, 60.0f, 0.0f) / 20.0f);
}

/* At most PART samples. */
static void run_part(plugin *p, const float *dry, float *wet, int n, const float *target)
{
  float given[PART], late[PART], made[PART];
  int i, k;
  copy_finite(given, dry, n);
  for (i = 0; i < n; i++) {
    p->late[p->at] = given[i];
    p->at = p->at == p->latency ? 0 : p->at + 1;
    late[i] = p->late[p->at];
    p->smoothed[INPUT] += p->step * (target[INPUT] - p->smoothed[INPUT]);
    given[i] *= p->smoothed[INPUT];
  }
  ${name}_host_process(&p->host, given, made, n);
  for (i = 0; i < n; i++) {
    for (k = OUTPUT; k < SMOOTHED; k++) p->smoothed[k] += p->step * (target[k] - p->smoothed[k]);
    wet[i] = late[i] + p->smoothed[SHARE] * (p->smoothed[OUTPUT] * made[i] - late[i]);
  }
}

static void run_plugin(void *handle, uint32_t n)
{
  plugin *p = (plugin *)handle;
  const float *dry = (const float *)p->ports[DRY];
  float *wet = (float *)p->ports[WET], target[SMOOTHED];
  /* Numbers too small for their full precision count as 0: in silence they would take many times as long. */
#if defined(__SSE__)
  const unsigned int mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040);
#elif defined(__aarch64__)
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  __asm__ volatile("msr fpcr, %0" : : "r"(mode | 1u << 24));
#endif
  target[INPUT] = gain(p, INPUT_GAIN);
  target[OUTPUT] = gain(p, OUTPUT_GAIN);
  target[SHARE] = control(p, ENABLED, 0.0f, 1.0f, 1.0f) > 0.0f ? 1.0f : 0.0f;
  if (p->fresh) memcpy(p->smoothed, target, sizeof target);
  p->fresh = 0;
  turn_knobs(p);
  if (p->ports[LATENCY]) *(float *)p->ports[LATENCY] = (float)p->latency;
  while (n > 0) {
    const int count = n < PART ? (int)n : PART;
    run_part(p, dry, wet, count, target);
    dry += count;
    wet += count;
    n -= (uint32_t)count;
  }
#if defined(__SSE__)
  _mm_setcsr(mode);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#endif
}

static const lv2_descriptor_t descriptor = {
  "$uri", instantiate, connect_port, activate, run_plugin, NULL, cleanup, NULL
};

const lv2_descriptor_t *lv2_descriptor(uint32_t index)
{
  return index == 0 ? &descriptor : NULL;
}
