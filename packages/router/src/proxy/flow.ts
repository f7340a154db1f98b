import type { Duplex } from "node:stream";
import type { FrameWalk } from "./frame-walk.ts";

/** One direction of a tunnel, until it ends by itself or is asked to take leave. */
export class Flow {
  readonly #from: Duplex;
  readonly #to: Duplex;
  readonly #walk: FrameWalk | undefined;
  readonly #farewell: Buffer;
  readonly #count: (bytes: number) => void;
  #leaving = false;
  #left = false;

  /** `walk`: knows where a `farewell` may stand; without it there is none. */
  constructor(from: Duplex, to: Duplex, { walk, farewell, count }: { walk: FrameWalk | undefined; farewell: Buffer; count: (bytes: number) => void }) {
    this.#from = from;
    this.#to = to;
    this.#walk = walk;
    this.#farewell = farewell;
    this.#count = count;
  }

  /** Passes on what came with the handshake, and then everything else. */
  start(head: Buffer): void {
    if (head.length > 0) {
      this.#count(head.length);
      this.#walk?.push(head);
      this.#to.write(head);
    }
    this.#from.on("data", this.#hear);
    this.#from.pipe(this.#to, { end: false });
  }

  /** Lets nothing more pass than what is left of a frame, says the farewell behind that, and ends this direction. */
  leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#from.unpipe(this.#to);
    if (this.#walk?.between !== false) this.#end();
    // What is not passed on is still read: who closes with bytes unread resets the connection.
    this.#from.resume();
  }

  readonly #hear = (chunk: Buffer): void => {
    if (!this.#left) this.#count(chunk.length);
    const end = this.#walk === undefined ? -1 : this.#walk.push(chunk);
    if (!this.#leaving || this.#left) return;
    const roomy = this.#to.writableEnded || this.#to.write(end < 0 ? chunk : chunk.subarray(0, end));
    if (end >= 0) this.#end();
    else if (!roomy) {
      this.#from.pause();
      this.#to.once("drain", () => this.#from.resume());
    }
  };

  #end(): void {
    this.#left = true;
    if (!this.#to.writableEnded) this.#to.end(this.#walk === undefined ? Buffer.alloc(0) : this.#farewell);
  }
}
