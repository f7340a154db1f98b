/** What a reader made of the bytes of one connection. */
export interface Understood {
  readonly messages: readonly Message[];
  /** `open`: it waits for more; `left`: the connection carries no HTTP any more; `refused <why>`. */
  readonly end: string;
}

export interface Message {
  /** The start line, its parts joined by one blank. */
  readonly start: string;
  /** Name, value, name, value. */
  readonly headers: readonly string[];
  body: string;
  trailers: readonly string[];
  whole: boolean;
}

export type Side = "request" | "response";

/** The bytes of one connection, one direction. `method` is that of the requests that responses answer. */
export interface Sample {
  readonly side: Side;
  readonly method: string;
  readonly bytes: Buffer;
}
