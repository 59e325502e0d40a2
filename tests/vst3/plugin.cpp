// A VST3 that tests/test_plugin.py builds with DPF: a gain 100 samples late, whose offset tells what it heard before.
#include "DistrhoPlugin.hpp"

#include <array>
#include <cmath>
#include <cstdlib>

START_NAMESPACE_DISTRHO

enum { GainDb, Mode, Crash, Parameters };

class LateGain : public Plugin {
    std::array<float, Parameters> values{};
    std::array<float, 100> past{};
    size_t place = 0;
    float heard = 0;

  public:
    LateGain() : Plugin(Parameters, 0, 0) { setLatency(past.size()); }

  protected:
    const char* getLabel() const override { return "LateGain"; }
    const char* getMaker() const override { return "fxemu"; }
    const char* getLicense() const override { return "ISC"; }
    uint32_t getVersion() const override { return d_version(1, 0, 0); }
    int64_t getUniqueId() const override { return d_cconst('f', 'x', 'L', 'g'); }

    void initParameter(uint32_t index, Parameter& parameter) override {
        static const char* const names[] = {"Gain", "Mode", "Crash"};
        parameter.name = parameter.symbol = names[index];
        parameter.hints = kParameterIsAutomatable;
        parameter.ranges = {0, 0, 1};
        if (index == GainDb) {
            parameter.unit = "dB";
            parameter.ranges = {0, -20, 20};
        } else if (index == Mode) {
            parameter.hints |= kParameterIsInteger;
            parameter.enumValues.count = 2;
            parameter.enumValues.restrictedMode = true;
            parameter.enumValues.values = new ParameterEnumerationValue[2]{{0, "warm"}, {1, "cold"}};
        } else {
            parameter.hints |= kParameterIsBoolean;
        }
    }

    float getParameterValue(uint32_t index) const override { return values[index]; }
    void setParameterValue(uint32_t index, float value) override { values[index] = value; }

    // The offset outlives a song unless the host resets the plugin or loads it anew.
    void run(const float** inputs, float** outputs, uint32_t frames) override {
        if (values[Crash] > 0.5f) std::abort();
        const float gain = std::pow(10.0f, values[GainDb] / 20) * (values[Mode] > 0.5f ? -1 : 1);
        for (uint32_t n = 0; n < frames; ++n) {
            const float x = inputs[0][n];  // the host may give one buffer for both
            heard += 1e-4f * std::abs(x);
            outputs[0][n] = gain * past[place] + heard;
            past[place] = x;
            place = (place + 1) % past.size();
        }
    }
};

Plugin* createPlugin() { return new LateGain(); }

END_NAMESPACE_DISTRHO
