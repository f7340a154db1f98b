import { COLON, CR, LF, octets, SP, TOKEN, VALUE } from "./octets.ts";

/** What nearly every head fits into. */
const usualBytes = 16_384;

/**
 * Puts heads together as bytes, one at a time: letters are looked at and written in one go, and no text is made on the way.
 * What no line can carry spoils the head in which it stands: a line end in a value would begin a header of somebody else's.
 */
class HeadWriter {
  readonly #usual = Buffer.allocUnsafeSlow(usualBytes);
  #bytes = this.#usual;
  #at = 0;
  #fits = true;

  begin(): void {
    this.#bytes = this.#usual;
    this.#at = 0;
    this.#fits = true;
  }

  /** Text that is known to fit: ISO 8859-1, as it stands. */
  text(text: string): void {
    this.#reserve(text.length);
    const bytes = this.#bytes;
    const at = this.#at;
    for (let place = 0; place < text.length; place += 1) bytes[at + place] = text.charCodeAt(place);
    this.#at = at + text.length;
  }

  /** Letters of a field value (RFC 9110 section 5.5). */
  value(text: string): void { this.#checked(text, VALUE); }

  /** A header line. */
  line(name: string, value: string): void {
    if (name === "") this.#fits = false;
    this.#checked(name, TOKEN);
    this.#pair(COLON, SP);
    this.#checked(value, VALUE);
    this.#pair(CR, LF);
  }

  /** The head, in memory of its own; undefined when something did not fit. */
  take(): Buffer | undefined {
    if (!this.#fits) return undefined;
    const head = Buffer.allocUnsafe(this.#at);
    this.#bytes.copy(head, 0, 0, this.#at);
    return head;
  }

  #pair(first: number, second: number): void {
    this.#reserve(2);
    this.#bytes[this.#at] = first;
    this.#bytes[this.#at + 1] = second;
    this.#at += 2;
  }

  #checked(text: string, bit: number): void {
    this.#reserve(text.length);
    const bytes = this.#bytes;
    const at = this.#at;
    for (let place = 0; place < text.length; place += 1) {
      const octet = text.charCodeAt(place);
      if (octet > 255 || ((octets[octet] as number) & bit) === 0) this.#fits = false;
      bytes[at + place] = octet;
    }
    this.#at = at + text.length;
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#at + more, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** One for all: a head is put together without a pause. */
export const headWriter: Pick<HeadWriter, keyof HeadWriter> = new HeadWriter();
