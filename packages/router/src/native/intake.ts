import type { OnReadOpts } from "node:net";

/** What one reading from the system may bring. */
export const intakeBytes = 65_536;
/** From here on the next reading is given memory of its own, since what it brings is likely to be handed on as it is. */
const largeBytes = 32_768;

/**
 * Where the bytes of one connection arrive. All connections of an engine read into the same memory, one after the other: what is
 * looked at and copied at once needs none of its own, and reading is half as dear without it. Only streams of large pieces get their own.
 */
export class Intake {
  /**
   * `lasting`: whether the chunk may be kept; else its memory is somebody else's as soon as this returns.
   * @returns whether it is kept; of no account where it may not be
   */
  taker: ((chunk: Buffer, lasting: boolean) => boolean) | undefined = undefined;
  readonly onread: OnReadOpts;
  /** Memory of its own, as long as large pieces come. */
  #own: Buffer | undefined = undefined;

  constructor(shared: Buffer) {
    this.onread = {
      // Asked again behind each reading.
      buffer: () => this.#own ?? shared,
      callback: (size, bytes) => {
        const lasting = bytes !== shared;
        const kept = this.taker?.((bytes as Buffer).subarray(0, size), lasting) === true;
        if (size < largeBytes) this.#own = undefined;
        // What has been written at once can be read into again.
        else if (kept || !lasting) this.#own = Buffer.allocUnsafeSlow(intakeBytes);
        return true;
      },
    };
  }
}
