/** Heads up to this size are compared with the next one. */
const maxKeptBytes = 4_096;
/** After so many unlike the one before, only now and then one is kept to see whether that has changed. */
const patience = 8;
const lookAgain = 64;

/** A stretch of bytes of the last head, and what was read from it. */
export class Kept<What> {
  #bytes: Buffer | undefined = undefined;
  #what: What | undefined = undefined;
  #misses = 0;

  /** What was read from these bytes the last time; undefined when they are others. */
  find(bytes: Buffer, from: number, stop: number): What | undefined {
    const kept = this.#bytes;
    if (kept === undefined || kept.length !== stop - from || bytes.compare(kept, 0, kept.length, from, stop) !== 0) return undefined;
    this.#misses = 0;
    return this.#what;
  }

  /** What was read from the bytes with which these begin; only for those who repeat themselves at the moment. */
  findFirst(bytes: Buffer, from: number): What | undefined {
    const kept = this.#bytes;
    if (kept === undefined || this.#misses > 0 || bytes.length - from < kept.length) return undefined;
    return bytes.compare(kept, 0, kept.length, from, from + kept.length) === 0 ? this.#what : undefined;
  }

  /** Of the bytes that are kept. */
  get length(): number { return this.#bytes?.length ?? 0; }

  keep(bytes: Buffer, from: number, stop: number, what: What): void {
    this.#misses += 1;
    if (stop - from > maxKeptBytes || (this.#misses > patience && this.#misses % lookAgain !== 0)) return this.forget();
    // A copy: the rest of the chunk is not to be kept alive by a few bytes.
    if (this.#bytes?.length === stop - from) bytes.copy(this.#bytes, 0, from, stop);
    else this.#bytes = Buffer.from(bytes.subarray(from, stop));
    this.#what = what;
  }

  forget(): void {
    this.#bytes = undefined;
    this.#what = undefined;
  }
}
