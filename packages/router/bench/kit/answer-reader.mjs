// Finds the end of each answer on a connection, as cheaply as can be: the reader must not be what is measured.
import { tokenLength } from "./messages.mjs";

const headEnd = Buffer.from("\r\n\r\n");
const lengthName = Buffer.from("content-length:");
const nothing = Buffer.alloc(0);

export class AnswerReader {
  #held = nothing;
  #missing = 0;
  /** Of the answer that was read last. */
  status = 0;
  /** The last bytes of its body; "" where they came in two pieces. */
  end = "";

  /** Takes what came; true where an answer is complete with it. Answers without a Content-Length are none a bench asks for. */
  feed(chunk, length) {
    if (this.#missing > 0) return this.#body(chunk, length, length);
    let bytes = chunk;
    let size = length;
    if (this.#held.length > 0) {
      bytes = Buffer.concat([this.#held, chunk.subarray(0, length)]);
      size = bytes.length;
      this.#held = nothing;
    }
    const head = bytes.subarray(0, size).indexOf(headEnd);
    if (head < 0) {
      this.#held = Buffer.from(bytes.subarray(0, size));
      return false;
    }
    this.status = (bytes[9] - 48) * 100 + (bytes[10] - 48) * 10 + (bytes[11] - 48);
    this.#missing = contentLength(bytes, head);
    return this.#body(bytes, size, size - head - 4);
  }

  #body(bytes, size, came) {
    this.#missing -= came;
    if (this.#missing > 0) return false;
    if (this.#missing < 0) throw new Error(`${-this.#missing} bytes more than announced`);
    this.end = came >= tokenLength ? bytes.latin1Slice(size - tokenLength, size) : "";
    return true;
  }
}

function contentLength(bytes, headEndsAt) {
  for (let at = bytes.indexOf(10); at >= 0 && at < headEndsAt; at = bytes.indexOf(10, at + 1)) {
    if ((bytes[at + 1] | 32) !== 99) continue;
    let same = 1;
    while (same < lengthName.length && (bytes[at + 1 + same] | 32) === (lengthName[same] | 32)) same += 1;
    if (same < lengthName.length) continue;
    let value = 0;
    for (let digit = at + 1 + same; digit < headEndsAt && bytes[digit] !== 13; digit += 1) if (bytes[digit] !== 32) value = value * 10 + bytes[digit] - 48;
    return value;
  }
  throw new Error(`an answer without Content-Length: ${bytes.latin1Slice(0, headEndsAt)}`);
}
