/** How the body of a message ends. */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly length: number }
  | { readonly kind: "chunked" }
  /** Responses only: with the connection. */
  | { readonly kind: "until-close" };

export const NO_BODY: Framing = Object.freeze({ kind: "none" });
export const CHUNKED: Framing = Object.freeze({ kind: "chunked" });
export const UNTIL_CLOSE: Framing = Object.freeze({ kind: "until-close" });

export type Version = "1.0" | "1.1";

/** The header lines of a head: the same object for every head of a connection that repeats them byte by byte. */
export interface HeaderBlock {
  /** Name, value, name, value: taken apart when somebody asks. */
  readonly raw: readonly string[];
  /** The lines as they came, each with its CR LF, stand in it from `begin` to `end`; octets as latin1. */
  readonly text: string;
  readonly begin: number;
  readonly end: number;
  /** How many there are. */
  readonly count: number;
  /** Whether each of them is `Name: value`, as it would be written: with one blank, and none at the end. */
  readonly isRegular: boolean;
  /** The names of `names.ts` that stand among them, as bits. */
  readonly seen: number;
  /** The lines with these names, in their order, each as five numbers: the name, where in `text` the line begins, its value begins, its value ends, the line ends. */
  readonly marks: readonly number[];
  /** Whether `Connection` says more than one of `keep-alive`, `close` and `upgrade`. */
  readonly namesOptions: boolean;
  /** What `Content-Length` says; -1 without one. */
  readonly length: number;
  /** Whether they came a second time. */
  readonly repeated: boolean;
  /** What somebody has worked out from them and will not have to work out again; of no concern to the reader. */
  derived: unknown;
  /** The same, of what can be said before it is known where the message goes. */
  known: unknown;
}

interface MessageHead {
  readonly version: Version;
  /** Name, value, name, value: in the order and the case in which they came, octets as latin1 like in node:http. */
  readonly rawHeaders: readonly string[];
  readonly framing: Framing;
  readonly block: HeaderBlock;
  /** Whether the connection may carry another message after this one. */
  readonly keepAlive: boolean;
  /** The value of `Upgrade` when `Connection` names it and the version is 1.1; in a response only of a 101. */
  readonly upgrade: string | undefined;
}

export interface RequestHead extends MessageHead {
  readonly kind: "request";
  readonly method: string;
  /** As it came: origin-form, absolute-form, authority-form (CONNECT) or `*` (OPTIONS). */
  readonly target: string;
  /** The one Host header; undefined only in HTTP/1.0, and it may be empty. */
  readonly host: string | undefined;
  /** Whether the client waits for `100 Continue`. */
  readonly expectContinue: boolean;
}

export interface ResponseHead extends MessageHead {
  readonly kind: "response";
  readonly status: number;
  readonly reason: string;
  /** 100 to 199 but 101: another head follows. */
  readonly interim: boolean;
}
