// What DPF has to know of the plugin in plugin.cpp: mono, without an editor, and with latency.
#define DISTRHO_PLUGIN_BRAND "fxemu"
#define DISTRHO_PLUGIN_NAME "Late Gain"
#define DISTRHO_PLUGIN_URI "urn:fxemu:late-gain"
#define DISTRHO_PLUGIN_NUM_INPUTS 1
#define DISTRHO_PLUGIN_NUM_OUTPUTS 1
#define DISTRHO_PLUGIN_WANT_LATENCY 1
