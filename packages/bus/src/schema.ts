import type { Static, TSchema } from "@sinclair/typebox";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import { BusError } from "./errors.ts";

/** What came out of bytes: a body that satisfies the schema, or the reasons why it does not. */
export type Parsed<T> = { readonly ok: true; readonly body: T } | { readonly ok: false; readonly issues: readonly string[] };

/** One direction of a message: its JSON Schema and the way to and from bytes. */
export interface Format<T> {
  readonly schema: TSchema;
  /** Never throws. Unknown fields pass through; zero bytes read as `{}` (some subjects have no body at all). */
  parse(bytes: Uint8Array): Parsed<T>;
  /** @throws BusError `BUS_INVALID_MESSAGE` naming every wrong field, never its value */
  encode(body: T): Uint8Array;
}

export interface MessageOptions<R extends TSchema> {
  /** What an answer looks like, where answers exist. */
  reply?: R;
  /** One sentence for `docs/wire.md`. */
  about: string;
  from: string;
  to: string;
  /** Queue group that is part of the contract, such as `cc`. */
  queue?: string;
  /** The body is zero bytes on the wire. */
  bare?: boolean;
}

/** One kind of message: subject template, body, reply, and the row it has in `docs/wire.md`. */
export interface Message<S extends string = string, T = unknown, R = unknown> {
  readonly subject: S;
  readonly body: Format<T>;
  readonly reply: Format<R> | undefined;
  readonly about: string;
  readonly from: string;
  readonly to: string;
  readonly queue: string | undefined;
}

export type Body<M> = M extends Message<string, infer T, unknown> ? T : never;
export type Reply<M> = M extends Message<string, unknown, infer R> ? R : never;

/** Declares a message once: the type, the validator and the documentation come from this. Nothing is compiled before first use. */
export function message<const S extends string, B extends TSchema, R extends TSchema = TSchema>(
  subject: S,
  body: B,
  { reply, about, from, to, queue, bare = false }: MessageOptions<R>,
): Message<S, Static<B>, Static<R>> {
  return {
    subject,
    body: format<Static<B>>(subject, body, bare),
    reply: reply && format<Static<R>>(`${subject} (reply)`, reply, false),
    about,
    from,
    to,
    queue,
  };
}

const ajv = (): Ajv => (shared ??= new Ajv({ allErrors: true, strict: false, validateFormats: false }));
let shared: Ajv | undefined;

function format<T>(name: string, schema: TSchema, bare: boolean): Format<T> {
  let compiled: ValidateFunction | undefined;
  const check = (value: unknown): readonly string[] => {
    compiled ??= ajv().compile(schema);
    return compiled(value) ? [] : (compiled.errors ?? []).map(issue);
  };
  return {
    schema,
    parse(bytes) {
      let value: unknown = {};
      if (bytes.length > 0)
        try {
          value = JSON.parse(decoder.decode(bytes));
        } catch {
          return { ok: false, issues: ["not JSON"] };
        }
      const issues = check(value);
      return issues.length === 0 ? { ok: true, body: value as T } : { ok: false, issues };
    },
    encode(body) {
      const issues = check(body);
      if (issues.length > 0) throw new BusError("BUS_INVALID_MESSAGE", `${name}: ${issues.join("; ")}`);
      return bare ? new Uint8Array() : encoder.encode(JSON.stringify(body));
    },
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8");

const issue = ({ instancePath, message: text = "is wrong", params }: ErrorObject): string => {
  const where = instancePath.slice(1).replaceAll("/", ".") || "body";
  const extra = "additionalProperty" in params ? ` (${String(params["additionalProperty"])})` : "";
  return `${where}: ${text}${extra}`;
};
