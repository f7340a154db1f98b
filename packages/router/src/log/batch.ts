import type { LineForm } from "../proxy/access-log-form.ts";
import type { RequestRecord } from "../proxy/record.ts";

/** What one batch may hold. */
const batchBytes = 65_536;

/** Lines gathered as bytes, to be handed over together. */
export class LineBatch {
  #bytes = Buffer.allocUnsafeSlow(batchBytes);
  #used = 0;
  count = 0;

  /** @returns false when there is no room, or the line does not fit into its form */
  addForm(form: LineForm, record: RequestRecord): boolean {
    if (this.#used + form.length > batchBytes || !form.writeTo(this.#bytes, this.#used, record)) return false;
    this.#used += form.length;
    this.count += 1;
    return true;
  }

  /** @returns false when there is no room */
  addText(line: string): boolean {
    // No letter of a string takes more.
    if (this.#used + line.length * 3 > batchBytes) return false;
    this.#used += this.#bytes.write(line, this.#used);
    this.count += 1;
    return true;
  }

  /** All lines, in memory that belongs to whoever takes them. */
  take(): Buffer {
    const gathered = this.#bytes.subarray(0, this.#used);
    this.#used = 0;
    this.count = 0;
    // A few lines are not worth the whole piece.
    if (gathered.length < batchBytes / 4) return Buffer.from(gathered);
    this.#bytes = Buffer.allocUnsafeSlow(batchBytes);
    return gathered;
  }
}
