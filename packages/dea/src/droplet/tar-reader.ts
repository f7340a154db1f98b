/** What a tar says of one of its entries (POSIX ustar and pax, GNU long names). */
export interface TarHeader {
  name: string;
  type: "file" | "directory" | "symlink" | "link" | "character device" | "block device" | "pipe" | "unknown";
  linkName: string;
  mode: number;
  size: number;
  /** Seconds since 1970; undefined when it does not say. */
  mtime: number | undefined;
}

export interface TarReader {
  push(chunk: Uint8Array): void;
  /** Throws when the tar ends in the middle of something. */
  end(): void;
}

export interface TarSink {
  entry(header: TarHeader): void;
  /** A piece of the body of the entry that came last. Valid during the call only. */
  body(piece: Uint8Array): void;
  /** The body is complete. */
  entryEnd(): void;
}

/**
 * Reads a tar as it comes. Throws an Error when it is none. Its text is sent to a worker thread, so it uses nothing
 * from outside of itself but what every JavaScript has.
 */
export function tarReader(sink: TarSink): TarReader {
  const blockBytes = 512;
  /** A longer name is no name. */
  const maxMetaBytes = 1024 ** 2;
  const utf8 = new TextDecoder();
  const types: Record<string, TarHeader["type"]> = { "0": "file", "7": "file", "1": "link", "2": "symlink", "3": "character device", "4": "block device", "5": "directory", "6": "pipe" };
  const head = new Uint8Array(blockBytes);
  let headFilled = 0;
  let zeroBlocks = 0;
  let bodyLeft = 0;
  let padLeft = 0;
  let meta: { kind: string; bytes: Uint8Array; filled: number } | undefined;
  let long: { name?: string; linkName?: string } = {};
  let pax: Record<string, string> = {};
  let paxGlobal: Record<string, string> = {};

  const text = (from: number, length: number): string => {
    let end = from;
    while (end < from + length && head[end] !== 0) end++;
    return utf8.decode(head.subarray(from, end));
  };
  const number = (from: number, length: number): number => {
    const first = head[from] ?? 0;
    if (first & 0x80) {
      // GNU: base 256. Negative numbers and those beyond 2^53 mean nothing here.
      let value = first & 0x7f;
      for (let at = from + 1; at < from + length; at++) value = value * 256 + (head[at] ?? 0);
      if (first === 0xff || !Number.isSafeInteger(value)) throw new Error("a number in the tar is out of range");
      return value;
    }
    const digits = text(from, length).trim();
    if (!/^[0-7]*$/.test(digits)) throw new Error("a number in the tar is none");
    return digits === "" ? 0 : Number.parseInt(digits, 8);
  };
  const records = (bytes: Uint8Array): Record<string, string> => {
    const found: Record<string, string> = Object.create(null) as Record<string, string>;
    for (let at = 0; at < bytes.length; ) {
      const space = bytes.indexOf(0x20, at);
      const length = space < 0 ? Number.NaN : Number(utf8.decode(bytes.subarray(at, space)));
      if (!Number.isInteger(length) || length <= space - at || at + length > bytes.length) throw new Error("an extended header of the tar is damaged");
      const record = utf8.decode(bytes.subarray(space + 1, at + length - 1));
      const equals = record.indexOf("=");
      if (equals > 0) found[record.slice(0, equals)] = record.slice(equals + 1);
      at += length;
    }
    return found;
  };

  const metaEnd = ({ kind, bytes }: { kind: string; bytes: Uint8Array }): void => {
    const zero = bytes.indexOf(0);
    if (kind === "L") long.name = utf8.decode(zero < 0 ? bytes : bytes.subarray(0, zero));
    else if (kind === "K") long.linkName = utf8.decode(zero < 0 ? bytes : bytes.subarray(0, zero));
    else if (kind === "g") paxGlobal = { ...paxGlobal, ...records(bytes) };
    else pax = records(bytes);
  };

  const bodyEnd = (): void => {
    if (meta) {
      const whole = meta;
      meta = undefined;
      metaEnd(whole);
    } else sink.entryEnd();
  };

  const header = (): void => {
    let sum = 8 * 32;
    for (let at = 0; at < blockBytes; at++) if (at < 148 || at >= 156) sum += head[at] ?? 0;
    if (sum === 8 * 32) {
      zeroBlocks++;
      return;
    }
    zeroBlocks = 0;
    const magic = text(257, 6);
    if (number(148, 8) !== sum || !magic.startsWith("ustar")) throw new Error("it is no tar, or damaged");
    const flag = head[156] === 0 ? "0" : String.fromCharCode(head[156] ?? 0);
    const size = number(124, 12);
    if ("LKxg".includes(flag)) {
      if (size > maxMetaBytes) throw new Error("an extended header of the tar is too long");
      meta = { kind: flag, bytes: new Uint8Array(size), filled: 0 };
      bodyLeft = size;
    } else {
      const says = { ...paxGlobal, ...pax };
      const prefix = magic === "ustar" ? text(345, 155) : "";
      const own = text(0, 100);
      const name = says["path"] ?? long.name ?? (prefix === "" ? own : `${prefix}/${own}`);
      const sparse = Object.keys(says).some((key) => key.startsWith("GNU.sparse"));
      // Before there was a type for folders their names ended in a slash.
      const type = sparse ? "unknown" : flag === "0" && name.endsWith("/") ? "directory" : types[flag] ?? "unknown";
      const real = says["size"] === undefined ? size : Number(says["size"]);
      if (!Number.isSafeInteger(real) || real < 0) throw new Error("a size in the tar is none");
      const mtime = says["mtime"] === undefined ? number(136, 12) : Number(says["mtime"]);
      const entry: TarHeader = { name, type, linkName: says["linkpath"] ?? long.linkName ?? text(157, 100), mode: number(100, 8), size: type === "directory" ? 0 : real, mtime: mtime > 0 ? mtime : undefined };
      long = {};
      pax = {};
      bodyLeft = entry.size;
      sink.entry(entry);
    }
    padLeft = (blockBytes - (bodyLeft % blockBytes)) % blockBytes;
    if (bodyLeft === 0) bodyEnd();
  };

  return {
    push(chunk) {
      for (let at = 0; at < chunk.length; ) {
        // Two empty blocks are the end; what comes after means nothing.
        if (zeroBlocks >= 2) return;
        if (bodyLeft > 0) {
          const piece = chunk.subarray(at, at + bodyLeft);
          at += piece.length;
          bodyLeft -= piece.length;
          if (meta) {
            meta.bytes.set(piece, meta.filled);
            meta.filled += piece.length;
          } else sink.body(piece);
          if (bodyLeft === 0) bodyEnd();
          continue;
        }
        const skip = Math.min(padLeft, chunk.length - at);
        padLeft -= skip;
        at += skip;
        const piece = chunk.subarray(at, at + blockBytes - headFilled);
        head.set(piece, headFilled);
        headFilled += piece.length;
        at += piece.length;
        if (headFilled < blockBytes) continue;
        headFilled = 0;
        header();
      }
    },
    end() {
      if (bodyLeft > 0 || padLeft > 0 || headFilled > 0) throw new Error("it ends in the middle");
    },
  };
}
