// Plays several sounds of one song in step. All run from the same moment; all but one are silent, so that a change
// from one to another needs no new start. Sounds: [{flac: base64, gain, lufs}], decoded once.
let context = null;
let audible = null; // the one player that runs

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
}

class Sounds {
  constructor(sounds) {
    this.sounds = sounds;
    this.chosen = 0;
    this.matched = false;
    this.amplification = {}; // number of a sound to dB
    this.offset = 0; // seconds, while nothing runs
    this.running = null; // {sources, gains, begun}
  }

  async load() {
    context ??= new AudioContext();
    const decoded = this.sounds.map((sound) => (sound.decoded ??= context.decodeAudioData(bytesOf(sound.flac))));
    this.buffers ??= await Promise.all(decoded);
    await context.resume();
  }

  get seconds() {
    return this.buffers ? Math.min(...this.buffers.map((buffer) => buffer.duration)) : 0;
  }

  get position() {
    if (!this.running) return this.offset;
    const played = Math.max(0, context.currentTime - this.running.begun);
    return (this.offset + played) % this.seconds;
  }

  // Loudness is matched to the quietest, so that nothing is clipped by it; an error is left as it is.
  volume(number) {
    const { gain, lufs } = this.sounds[number];
    const amplified = this.amplification[number];
    if (amplified !== undefined) return gain * 10 ** (amplified / 20);
    const others = this.sounds.filter((_, i) => this.amplification[i] === undefined).map((sound) => sound.lufs);
    return this.matched ? gain * 10 ** ((Math.min(...others) - lufs) / 20) : gain;
  }

  async play(from = this.offset) {
    await this.load();
    if (audible && audible !== this) audible.stop();
    this.stop();
    audible = this;
    const begun = context.currentTime + 0.03;
    const gains = this.buffers.map(() => new GainNode(context, { gain: 0 }));
    const sources = this.buffers.map((buffer, i) => {
      const source = new AudioBufferSourceNode(context, { buffer, loop: true, loopEnd: this.seconds });
      source.connect(gains[i]).connect(context.destination);
      source.start(begun, from);
      return source;
    });
    this.offset = from;
    this.running = { sources, gains, begun };
    this.apply();
    this.onstart?.();
  }

  stop() {
    if (!this.running) return;
    this.offset = this.position;
    for (const source of this.running.sources) source.stop();
    this.running = null;
    this.onstop?.();
  }

  choose(number) {
    this.chosen = number;
    this.apply();
  }

  // Volumes as they should be; what changes does so within some 10 ms, without a click.
  apply() {
    this.running?.gains.forEach((node, i) => {
      node.gain.setTargetAtTime(i === this.chosen ? this.volume(i) : 0, context.currentTime, 0.003);
    });
  }
}

// The buttons and sliders of a `.player`.
function attach(element) {
  const sounds = new Sounds(JSON.parse(element.querySelector("script").textContent));
  const find = (name) => element.querySelector(name);
  const sources = [...element.querySelectorAll(".source")];
  const [play, position, clock, amplify] = [".play", ".position", ".clock", ".amplify"].map(find);
  const show = () => {
    play.textContent = sounds.running ? "Pause" : "Play";
    sources.forEach((button, i) => button.setAttribute("aria-pressed", i === sounds.chosen));
    clock.textContent = `${sounds.position.toFixed(1)} s`;
    if (sounds.seconds) position.value = (1000 * sounds.position) / sounds.seconds;
  };
  const tick = () => {
    show();
    if (sounds.running) requestAnimationFrame(tick);
  };
  const start = async (from) => {
    await sounds.play(from);
    tick();
  };
  play.addEventListener("click", () => (sounds.running ? sounds.stop() : start()));
  sources.forEach((button, i) =>
    button.addEventListener("click", () => {
      sounds.choose(i);
      if (sounds.running) show();
      else start();
    }),
  );
  position.addEventListener("input", async () => {
    await sounds.load();
    const from = (position.value / 1000) * sounds.seconds * 0.999;
    if (sounds.running) await sounds.play(from);
    else sounds.offset = from;
    show();
  });
  find(".matched")?.addEventListener("change", ({ target }) => {
    sounds.matched = target.checked;
    sounds.apply();
  });
  if (amplify) {
    const last = sources.length - 1;
    const set = () => {
      sounds.amplification[last] = Number(amplify.value);
      find(".decibels").textContent = `by ${amplify.value} dB`;
      sounds.apply();
    };
    amplify.addEventListener("input", set);
    set();
  }
  sounds.onstop = show;
  element.sounds = sounds;
  show();
}

document.querySelectorAll(".player").forEach(attach);
