/**
 * When each endpoint was last heard of, and by which message, in plain memory: this is all that a heartbeat touches, and a million of them
 * leave the garbage collector nothing to do.
 *
 * A place belongs to one endpoint from `take` to `free`. Its token is what the caller knows the last registration by; 0: by nothing.
 */
export class Stamps {
  /** Pieces of equal size, so that growing moves nothing. */
  readonly #pieces: { readonly seenMs: Float64Array; readonly tokens: Int32Array }[] = [];
  readonly #freed: number[] = [];
  #next = 0;

  take(seenMs: number): number {
    const place = this.#freed.pop() ?? this.#next++;
    if (place >> pieceBits === this.#pieces.length) this.#pieces.push({ seenMs: new Float64Array(pieceSize), tokens: new Int32Array(pieceSize) });
    this.set(place, seenMs);
    this.mark(place, 0);
    return place;
  }

  free(place: number): void {
    this.mark(place, 0);
    this.#freed.push(place);
  }

  seenMs(place: number): number { return this.#pieceOf(place).seenMs[place & pieceMask] as number; }
  set(place: number, seenMs: number): void { this.#pieceOf(place).seenMs[place & pieceMask] = seenMs; }
  mark(place: number, token: number): void { this.#pieceOf(place).tokens[place & pieceMask] = token; }

  /** False, and nothing is done, where the place is known by another token. */
  renew(place: number, token: number, nowMs: number): boolean {
    const { seenMs, tokens } = this.#pieceOf(place);
    if (tokens[place & pieceMask] !== token) return false;
    seenMs[place & pieceMask] = nowMs;
    return true;
  }

  #pieceOf(place: number): { readonly seenMs: Float64Array; readonly tokens: Int32Array } {
    return this.#pieces[place >> pieceBits] as { readonly seenMs: Float64Array; readonly tokens: Int32Array };
  }
}

const pieceBits = 12;
const pieceSize = 1 << pieceBits;
const pieceMask = pieceSize - 1;
