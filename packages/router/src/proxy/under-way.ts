import type { Exchange } from "./exchange.ts";

/** The exchanges under way. Coming and going costs nothing but a place in a list: a `Set` would be rebuilt again and again. */
export class UnderWay {
  readonly #all: Exchange[] = [];

  get size(): number { return this.#all.length; }

  add(exchange: Exchange): void {
    exchange.placeUnderWay = this.#all.length;
    this.#all.push(exchange);
  }

  /** The last one takes the place of the one that leaves. */
  delete(exchange: Exchange): void {
    const last = this.#all.pop() as Exchange;
    if (last !== exchange) {
      this.#all[exchange.placeUnderWay] = last;
      last.placeUnderWay = exchange.placeUnderWay;
    }
    exchange.placeUnderWay = -1;
  }

  /** A list of its own: who goes through it may end exchanges. */
  [Symbol.iterator](): Iterator<Exchange> { return this.#all.slice().values(); }
}
