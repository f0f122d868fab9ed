/* Peaks of the waveform. */

export class Peaks {
  /** @param {ArrayBuffer} octets A byte with the steps per second, then minimum and maximum per step. */
  constructor(octets) {
    this.perSecond = new Uint8Array(octets, 0, 1)[0];
    this.data = new Int8Array(octets, 1);
  }

  /**
   * The loudness of each column.
   * @param {number} from Seconds.
   * @param {number} to
   * @param {number} count
   * @returns {Float32Array} 0 to 1; 0 outside the recording.
   */
  columns(from, to, count) {
    const loudness = new Float32Array(count);
    const step = ((to - from) * this.perSecond) / count;
    for (let column = 0; column < count; column += 1) {
      const first = Math.floor(from * this.perSecond + column * step);
      const last = Math.max(first + 1, Math.floor(from * this.perSecond + (column + 1) * step));
      for (let at = Math.max(first, 0) * 2; at < Math.min(last * 2, this.data.length); at += 1) {
        loudness[column] = Math.max(loudness[column], Math.abs(this.data[at]) / 127);
      }
    }
    return loudness;
  }
}

/** A flat waveform while there are no peaks, so that speakers are shown. */
export const FLAT = { columns: (_from, _to, count) => new Float32Array(count).fill(0.35) };
