import { createRequire } from "node:module";
import { METHODS } from "node:http";
import type { Message, Sample, Understood } from "./understood.ts";

interface Parser {
  initialize(type: number, resource: object, maxHeaderSize: number, lenient: number): void;
  execute(bytes: Buffer): number | (Error & { code: string });
  [callback: number]: unknown;
}

interface ParserClass {
  new(): Parser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

// llhttp as node:http uses it. No document promises this door; a test that finds it closed says so.
const { HTTPParser, methods } = createRequire(import.meta.url)("node:_http_common") as { HTTPParser: ParserClass; methods: readonly string[] };

export const llhttpVersion = process.versions.llhttp;
export const knownMethods: ReadonlySet<string> = new Set(METHODS);

/** Reads `sample` with llhttp, strict as node:http has it; behind `CONNECT` and `Upgrade` there is no HTTP. */
export function readByNode({ side, method, bytes }: Sample): Understood {
  const messages: Message[] = [];
  let message: Message | undefined;
  let early: string[] = [];
  let left = false;
  const parser = new HTTPParser();
  parser.initialize(side === "request" ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 65_536, 0);
  parser[HTTPParser.kOnHeaders] = (headers: string[], url: string): void => {
    if (message === undefined) {
      early.push(...headers);
      target += url;
    } else message.trailers = [...message.trailers, ...headers];
  };
  let target = "";
  // Its own order of parameters: version (two), headers, method, url, status, reason, upgrade, keep-alive.
  parser[HTTPParser.kOnHeadersComplete] = (...said: [number, number, string[] | undefined, number | undefined, string | undefined, number | undefined, string | undefined, boolean, boolean]): number => {
    const [major, minor, headers, verb, url, status, reason, upgrade, keepAlive] = said;
    const start = side === "request" ? `${methods[verb as number]} ${target + (url ?? "")} ${major}.${minor}` : `${major}.${minor} ${status} ${reason}`;
    message = { start, headers: headers ?? early, body: "", trailers: [], whole: false };
    early = [];
    target = "";
    messages.push(message);
    const interim = status !== undefined && status < 200 && status !== 101;
    left = !interim && (!keepAlive || upgrade || status === 101);
    if (side === "response" && (method === "HEAD" || (method === "CONNECT" && status !== undefined && status >= 200 && status < 300))) return 1;
    return 0;
  };
  parser[HTTPParser.kOnBody] = (slice: Buffer): void => { if (message !== undefined) message.body += slice.toString("latin1"); };
  parser[HTTPParser.kOnMessageComplete] = (): void => {
    if (message !== undefined) message.whole = true;
    message = undefined;
  };
  // Of nothing it says nothing.
  const result = bytes.length === 0 ? 0 : parser.execute(bytes);
  if (messages.at(-1)?.whole === true && left) return { messages, end: "left" };
  return { messages, end: typeof result === "number" ? "open" : `refused ${result.code}` };
}
