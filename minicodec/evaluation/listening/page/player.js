// Switching between versions of a clip without a gap.
//
// All of them play all the time, on the one clock of the AudioContext, each behind a gain of its own that is 0 or 1.
// Choosing another is a cross-fade of 5 ms: its gains add up to 1, so where two versions are equal nothing is heard.
// The part that repeats is cut out of every version and faded at both ends, so that its seam does not click.

const FADE = 0.005; // seconds
const AHEAD = 0.02; // seconds: time to get all sources ready for the same moment
export const SHORTEST = 0.5; // seconds of a part that repeats [BS.1534-3]

export class Player {
  constructor(context) {
    this.context = context;
    this.load([]);
  }

  // AudioBuffers of equal length; nothing plays yet.
  load(buffers) {
    this.pause();
    this.buffers = buffers;
    this.duration = buffers.length ? buffers[0].duration : 0;
    this.chosen = this.from = this.offset = 0;
    this.repeat(0, this.duration);
  }

  // Repeat only the part between two moments (seconds).
  repeat(from, to) {
    const position = this.position;
    const playing = this.playing;
    this.pause();
    [this.from, this.to] = [from, to];
    this.parts = this.buffers.map((buffer) => cut(this.context, buffer, from, to));
    this.offset = position > from && position < to ? position - from : 0;
    if (playing) this.play();
  }

  get playing() {
    return Boolean(this.voices);
  }

  // Seconds from the beginning of the clip.
  get position() {
    if (!this.playing) return this.from + this.offset;
    const elapsed = Math.max(0, this.context.currentTime - this.startedAt);
    return this.from + ((this.offset + elapsed) % (this.to - this.from));
  }

  play() {
    if (this.playing || !this.parts.length) return;
    this.startedAt = this.context.currentTime + AHEAD;
    this.voices = this.parts.map((buffer, number) => {
      const source = new AudioBufferSourceNode(this.context, { buffer, loop: true });
      const gain = new GainNode(this.context, { gain: 0 });
      source.connect(gain).connect(this.context.destination);
      source.start(this.startedAt, this.offset);
      fade(gain.gain, number === this.chosen ? 1 : 0, this.startedAt);
      return { source, gain };
    });
  }

  pause() {
    if (!this.playing) return;
    this.offset = this.position - this.from;
    const now = this.context.currentTime;
    for (const { source, gain } of this.voices) {
      fade(gain.gain, 0, now);
      source.stop(now + FADE);
    }
    this.voices = null;
  }

  choose(number) {
    this.chosen = number;
    const now = this.context.currentTime;
    this.voices?.forEach(({ gain }, i) => fade(gain.gain, i === number ? 1 : 0, now));
  }
}

function fade(gain, target, time) {
  gain.cancelScheduledValues(0);
  gain.setValueAtTime(gain.value, time); // where an earlier fade has got to
  gain.linearRampToValueAtTime(target, time + FADE);
}

function cut(context, buffer, from, to) {
  const rate = buffer.sampleRate;
  const [first, last] = [Math.round(from * rate), Math.round(to * rate)];
  const part = context.createBuffer(buffer.numberOfChannels, last - first, rate);
  const edge = Math.min(Math.round(FADE * rate), Math.floor((last - first) / 2));
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel).slice(first, last);
    for (let i = 0; i < edge; i++) {
      const weight = 0.5 - 0.5 * Math.cos((Math.PI * (i + 0.5)) / edge);
      samples[i] *= weight;
      samples[samples.length - 1 - i] *= weight;
    }
    part.copyToChannel(samples, channel);
  }
  return part;
}
