import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { HeaderBlock } from "../http1/head.ts";

/** A request whose head is here, before anybody asks for its body or for headers by name. */
export interface Arrival {
  readonly method: string;
  /** What stands in the request line. */
  readonly target: string;
  /** The value of `Host`, as it came; empty without one. */
  readonly host: string;
  readonly httpVersion: string;
  readonly httpVersionMajor: number;
  readonly httpVersionMinor: number;
  /** Name, value, name, value … as received. Nobody may write here: it may be another request's as well. */
  readonly rawHeaders: readonly string[];
  /** What is kept of the header lines from one request of a connection to the next. */
  readonly block?: HeaderBlock;
  readonly hasBody: boolean;
  readonly socket: Socket;
  /** The same as a stream with headers by name. Where it does not exist yet it is made, which costs more than most requests need. */
  readonly request: IncomingMessage;
  /** Says who is to be told when the answer is complete or the client gone. */
  whenGone(listener: GoneListener): void;
}

export interface GoneListener { markClosed(): void }

/** A request that is a stream from the beginning. */
export function arrivalOf(request: IncomingMessage, response: ServerResponse): Arrival {
  const { headers, method, url, httpVersion, httpVersionMajor, httpVersionMinor, rawHeaders, socket } = request;
  const length = headers["content-length"];
  return {
    method: method as string, target: url as string, host: headers.host ?? "", httpVersion, httpVersionMajor, httpVersionMinor, rawHeaders, socket, request,
    whenGone: (listener) => void response.on("close", () => listener.markClosed()),
    hasBody: headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0"),
  };
}
