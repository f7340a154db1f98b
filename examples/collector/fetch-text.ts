import { request } from "node:http";

export interface FetchOptions {
  /** `address:port`, as a component tells it. */
  host: string;
  path: string;
  authorization: string | undefined;
  maxBytes: number;
  /** Ends the question, however far it has come. */
  signal: AbortSignal;
}

/** One GET. No redirects: whoever speaks on the bus must not lead us and the credentials anywhere else. @throws Error in words for people */
export function fetchText({ host, path, authorization, maxBytes, signal }: FetchOptions): Promise<{ status: number; text: string }> {
  const [, name = "", port = ""] = /^(.+):(\d{1,5})$/.exec(host) ?? [];
  if (name === "" || Number(port) > 65_535) return Promise.reject(new Error(`"${host.slice(0, 80)}" is no address and port`));
  return new Promise((done, fail) => {
    const asked = request({ host: name.replace(/^\[|\]$/g, ""), port: Number(port), path, signal, agent: false, headers: { accept: "application/json, text/plain", connection: "close", ...(authorization !== undefined && { authorization }) } }, (answer) => {
      const parts: Buffer[] = [];
      let size = 0;
      answer.on("data", (part: Buffer) => {
        size += part.length;
        parts.push(part);
        if (size > maxBytes) answer.destroy(new Error(`answers more than ${Math.round(maxBytes / 104_857.6) / 10} MB`));
      });
      answer.once("end", () => done({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
      answer.once("error", (error) => fail(inWords(error, signal)));
    });
    asked.once("error", (error) => fail(inWords(error, signal)));
    asked.end();
  });
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "refuses the connection",
  ECONNRESET: "breaks the connection",
  EHOSTUNREACH: "cannot be reached",
  ENETUNREACH: "cannot be reached",
  ENOTFOUND: "its name is unknown",
};

function inWords(error: NodeJS.ErrnoException, signal: AbortSignal): Error {
  if (signal.aborted) return new Error("does not answer in time");
  return new Error(words[error.code ?? ""] ?? error.message);
}
