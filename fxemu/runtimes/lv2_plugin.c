
/* The LV2 plugin: the part of lv2/core/lv2.h that it needs (http://lv2plug.in/ns/lv2core, ISC license). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

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

typedef struct {
  const float *dry;
  float *wet, *latency;
  ${name}_state model;
} plugin;

static void *instantiate(const lv2_descriptor_t *d, double rate, const char *path, const void *const *features)
{
  plugin *p;
  (void)d, (void)path, (void)features;
  if (rate < ${name}_SAMPLE_RATE - 0.5 || rate > ${name}_SAMPLE_RATE + 0.5) {
    fprintf(stderr, "$name: made for %d Hz, and the host runs at %g Hz\n", ${name}_SAMPLE_RATE, rate);
    return NULL;
  }
  p = (plugin *)calloc(1, sizeof *p);
  if (p) ${name}_init(&p->model);
  return p;
}

static void connect_port(void *handle, uint32_t port, void *data)
{
  plugin *p = (plugin *)handle;
  if (port == 0) p->dry = (const float *)data;
  else if (port == 1) p->wet = (float *)data;
  else p->latency = (float *)data;
}

static void activate(void *handle)
{
  ${name}_init(&((plugin *)handle)->model);
}

static void run_plugin(void *handle, uint32_t n)
{
  plugin *p = (plugin *)handle;
#ifdef __SSE__
  /* Numbers too small for their full precision count as 0: in silence they would take many times as long. */
  const unsigned int mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040);
#endif
  if (p->latency) *p->latency = ${name}_LATENCY;
  ${name}_process(&p->model, p->dry, p->wet, (int)n);
#ifdef __SSE__
  _mm_setcsr(mode);
#endif
}

static const lv2_descriptor_t descriptor = {
  "$uri", instantiate, connect_port, activate, run_plugin, NULL, free, NULL
};

const lv2_descriptor_t *lv2_descriptor(uint32_t index)
{
  return index == 0 ? &descriptor : NULL;
}
