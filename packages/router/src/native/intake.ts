import type { OnReadOpts } from "node:net";

/** What one reading from the system may bring. */
export const intakeBytes = 65_536;
/** From here on the next reading is given memory of its own, since what it brings is likely to be handed on as it is. */
const largeBytes = 32_768;

/** Pieces of memory that a connection keeps for its next large pieces: as many as are mostly on their way to the client at once. */
const maxSpare = 4;

/** Large pieces come with small ones between them, as the sender's buffers have it; behind so many small ones in a row no large one is expected. */
const maxSmall = 8;

const unchanged = undefined as unknown as Buffer;

/**
 * Where the bytes of one connection arrive. All connections of an engine read into the same memory, one after the other: what is
 * looked at and copied at once needs none of its own, and reading is half as dear without it. Only streams of large pieces get their own,
 * and get it back from whoever has written it: left to the garbage collector, a download takes fifty megabytes of them.
 */
export class Intake {
  /**
   * `lasting`: whether the chunk may be kept; else its memory is somebody else's as soon as this returns.
   * @returns whether it is kept; of no account where it may not be
   */
  taker: ((chunk: Buffer, lasting: boolean) => boolean) | undefined = undefined;
  readonly onread: OnReadOpts & { buffer: () => Buffer };
  /** Memory of its own, as long as large pieces come. */
  #own: Buffer | undefined = undefined;
  #spare: Buffer[] | undefined = undefined;
  /** Small pieces since the last large one; more than `maxSmall` where none is expected. */
  #small = maxSmall + 1;

  constructor(shared: Buffer) {
    // What Node reads into, as far as it was told; it asks before the first reading, maybe several times, and behind each one.
    let current: Buffer | undefined = undefined;
    this.onread = {
      buffer: () => {
        const memory = this.#own ?? shared;
        // An answer that is none leaves it as it is: looking at a piece of memory anew costs more than the rest of the question.
        if (memory === current) return unchanged;
        current = undefined;
        return memory;
      },
      callback: (size, bytes) => {
        current = bytes as Buffer;
        const lasting = bytes !== shared;
        if (size >= largeBytes) this.#small = 0;
        else if (this.#small <= maxSmall) this.#small += 1;
        const kept = this.taker?.((bytes as Buffer).subarray(0, size), lasting) === true;
        if (this.#small > maxSmall) this.#own = this.#spare = undefined;
        // What has been written at once can be read into again.
        else if (kept || !lasting) this.#own = this.#spare?.pop() ?? Buffer.allocUnsafeSlow(intakeBytes);
        return true;
      },
    };
  }

  /** A chunk that was kept is written, to its end: nobody will look at it again. */
  giveBack(chunk: Buffer): void {
    // Of a connection that has small ones again, or enough memory, nothing is kept.
    if (this.#small > maxSmall || (this.#spare?.length ?? 0) >= maxSpare) return;
    (this.#spare ??= []).push(Buffer.from(chunk.buffer as ArrayBuffer));
  }

  /** The body is over: while the connection is idle it has no memory of its own. To be called while its last piece is taken. */
  rest(): void { this.#small = maxSmall + 1; }
}
