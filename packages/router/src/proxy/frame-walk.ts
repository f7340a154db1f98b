/**
 * Where the frames of a WebSocket begin and end in a stream of bytes (RFC 6455, 5.2). It reads lengths and nothing else: what a frame
 * says, and whether it may be sent at all, is for the two ends.
 */
export class FrameWalk {
  /** Bytes of the frame's head seen so far; 0 between frames. */
  #seen = 0;
  /** Bytes of the head that say the length: 2, 4 or 10. */
  #headBytes = 2;
  #masked = false;
  #length = 0;
  /** Bytes of mask and payload yet to come, once the length is known. */
  #left = 0;

  /** Whether the last byte was the last of a frame, or there was none yet. */
  get between(): boolean { return this.#seen === 0; }

  /** Walks on. @returns the place behind the first frame that ends in these bytes, -1 if none does */
  push(bytes: Uint8Array): number {
    let first = -1;
    for (let at = 0; at < bytes.length;) {
      if (this.#seen < this.#headBytes) {
        this.#head(bytes[at] as number);
        at += 1;
      } else {
        const step = Math.min(this.#left, bytes.length - at);
        this.#left -= step;
        at += step;
      }
      if (this.#seen === this.#headBytes && this.#left === 0) {
        this.#seen = 0;
        this.#headBytes = 2;
        if (first < 0) first = at;
      }
    }
    return first;
  }

  #head(byte: number): void {
    this.#seen += 1;
    if (this.#seen === 1) return;
    if (this.#seen === 2) {
      const short = byte & 0x7f;
      this.#masked = (byte & 0x80) !== 0;
      this.#headBytes = short === 126 ? 4 : short === 127 ? 10 : 2;
      this.#length = short < 126 ? short : 0;
    } else this.#length = this.#length * 256 + byte;
    if (this.#seen === this.#headBytes) this.#left = this.#length + (this.#masked ? 4 : 0);
  }
}
