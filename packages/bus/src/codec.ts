import { deflateSync, inflateSync } from "node:zlib";

/** `json`: UTF-8 JSON, zero bytes read as `{}`. `none`: zero bytes. `text`: the bytes as text. `zlib`: compressed JSON, as `router.active_apps` has it. */
export type Codec = "json" | "none" | "text" | "zlib";

const decoder = new TextDecoder("utf-8");
const text = (data: Uint8Array | string): string => (typeof data === "string" ? data : decoder.decode(data));
const json = (data: Uint8Array | string): unknown => (data.length === 0 ? {} : JSON.parse(text(data)));

function write(body: unknown): string {
  const written = JSON.stringify(body) as string | undefined;
  // A schema that takes anything takes undefined and functions too; JSON knows neither.
  if (written === undefined) throw new TypeError("JSON has no such value");
  return written;
}

/** What a compressed body may unfold to. */
const maxInflatedBytes = 16 * 1_048_576;

export const codecs: Readonly<Record<Codec, { read(data: Uint8Array | string): unknown; write(body: unknown): Uint8Array | string }>> = {
  json: { read: json, write },
  none: { read: json, write: () => "" },
  text: { read: text, write: (body) => body as string },
  zlib: {
    read: (data) => JSON.parse(inflateSync(typeof data === "string" ? Buffer.from(data, "latin1") : data, { maxOutputLength: maxInflatedBytes }).toString("utf8")),
    write: (body) => deflateSync(write(body)),
  },
};
