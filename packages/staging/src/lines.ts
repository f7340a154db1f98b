import { StringDecoder } from "node:string_decoder";

/** One line of what staging or a buildpack says. */
export interface StagingLine {
  readonly text: string;
  readonly stream: "out" | "err";
  /** Name or masked URL of the buildpack that speaks; absent: staging itself. */
  readonly buildpack?: string;
}

/** Cuts bytes into lines. A line longer than `maxBytes` comes in pieces, so memory stays bounded whatever a script prints. */
export interface LineSplitter {
  write(chunk: Uint8Array): void;
  /** Emits an unfinished last line. */
  end(): void;
}

/** UTF-8 is kept whole across chunks; a carriage return before the line feed is cut. Default piece: 16 KiB. */
export function createLineSplitter(emit: (text: string) => void, maxLength = 16_384): LineSplitter {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  const take = (text: string): void => {
    let from = 0;
    for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", from)) {
      finish(rest + text.slice(from, at));
      rest = "";
      from = at + 1;
    }
    rest += text.slice(from);
    while (rest.length > maxLength) {
      const cut = splitPoint(rest, maxLength);
      emit(rest.slice(0, cut));
      rest = rest.slice(cut);
    }
  };
  const finish = (line: string): void => {
    let text = line.endsWith("\r") ? line.slice(0, -1) : line;
    while (text.length > maxLength) {
      const cut = splitPoint(text, maxLength);
      emit(text.slice(0, cut));
      text = text.slice(cut);
    }
    emit(text);
  };
  return {
    write: (chunk) => take(decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))),
    end() {
      take(decoder.end());
      if (rest !== "") finish(rest);
      rest = "";
    },
  };
}

/** Never between the two halves of a surrogate pair. */
const splitPoint = (text: string, at: number): number => {
  const code = text.charCodeAt(at - 1);
  return code >= 0xd800 && code <= 0xdbff && at > 1 ? at - 1 : at;
};

/** Remembers the last `size` lines for an error report. */
export function createTail(size = 20): { push(text: string): void; readonly lines: readonly string[] } {
  const kept: string[] = [];
  return {
    push(text) {
      kept.push(text.length > 1_000 ? `${text.slice(0, 1_000)}…` : text);
      if (kept.length > size) kept.shift();
    },
    get lines() {
      return [...kept];
    },
  };
}
