import type { Static, TSchema } from "@sinclair/typebox";
import { BusError } from "./errors.ts";
import { type Codec, codecs } from "./codec.ts";
import { type DisconnectPolicy, drop } from "./policy.ts";
import { assertTemplate } from "./subject.ts";
import { compile, issuesOf } from "./validator.ts";

/** What came out of bytes: a body that satisfies the schema, or the reasons why it does not. */
export type Parsed<T> = { readonly ok: true; readonly body: T } | { readonly ok: false; readonly issues: readonly string[] };

/** One direction of a message: its JSON Schema and the way to and from the wire. */
export interface Format<T> {
  readonly schema: TSchema;
  readonly codec: Codec;
  /** What older senders write differently and how it is read, for `docs/wire.md`. */
  readonly older: string | undefined;
  /** Never throws. Unknown fields pass through; zero bytes read as `{}` (some subjects have no body at all). */
  parse(data: Uint8Array | string): Parsed<T>;
  /** @throws BusError `BUS_INVALID_MESSAGE` naming every wrong field, never its value */
  encode(body: T): Uint8Array | string;
}

/** Who speaks or listens; the roles of `opencf-bus permissions`. `component` is everybody, `tool` whoever looks from outside. */
export const roles = [
  "executor", "router", "controller", "health-manager", "stager", "log-store", "uaa", "blobstore",
  "service-gateway", "service-node", "diego-bridge", "monitor", "tool", "component",
] as const;
export type Role = (typeof roles)[number];

export interface MessageOptions<R extends TSchema> {
  /** What an answer looks like, where answers exist. */
  reply?: R;
  /** One sentence for `docs/wire.md`. */
  about: string;
  /** Who publishes it: roles of the catalogue, or words of your own. */
  from: string | readonly string[];
  /** Who subscribes to it. */
  to: string | readonly string[];
  /** Queue group that is part of the contract, such as `cc`. */
  queue?: string;
  /** How long what it says holds without being said again, in ms. Default: for ever. */
  ttlMs?: number;
  /** What becomes of it while the bus is away. Default: dropped. */
  onDisconnect?: DisconnectPolicy;
  /** `bulk` traffic takes a connection of its own, so that a storm of it delays no command. Default `control`. */
  lane?: "control" | "bulk";
  /** How the body is written. Default `json`; `none` is zero bytes. */
  codec?: Codec;
  replyCodec?: Codec;
  /** Field of the body that names this very command: a handler that wants each command once goes by it, and by the message id where it is absent. */
  id?: string;
  /** Generations of Cloud Foundry that speak it, such as `v1-v2b`; `opencf` for our own. */
  era?: string;
  /** Turns what older senders write into today's shape, before it is checked. Must not throw and must not change a body of today's shape. */
  upgrade?: (body: Record<string, unknown>) => Record<string, unknown>;
  /** One sentence on what `upgrade` understands. */
  older?: string;
  upgradeReply?: (body: Record<string, unknown>) => Record<string, unknown>;
  olderReply?: string;
}

/** One kind of message: subject template, body, reply, policy, and the row it has in `docs/wire.md`. */
export interface Message<S extends string = string, T = unknown, R = unknown> {
  readonly subject: S;
  readonly body: Format<T>;
  readonly reply: Format<R> | undefined;
  readonly about: string;
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly queue: string | undefined;
  readonly ttlMs: number | undefined;
  readonly onDisconnect: DisconnectPolicy;
  readonly lane: "control" | "bulk";
  readonly id: string | undefined;
  readonly era: string | undefined;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a body is both read and written, so only `any` stands for all of them
export type AnyMessage = Message<string, any, any>;
export type Body<M> = M extends Message<string, infer T, unknown> ? T : never;
export type Reply<M> = M extends Message<string, unknown, infer R> ? R : never;

/** Declares a message once: the type, the validator, the policy and the documentation come from this. Nothing is compiled before first use. @throws BusError `BUS_INVALID_SUBJECT` */
export function message<const S extends string, B extends TSchema, R extends TSchema = TSchema>(
  subject: S,
  body: B,
  { reply, about, from, to, queue, ttlMs, onDisconnect = drop, lane = "control", codec = "json", replyCodec = "json", id, era, ...old }: MessageOptions<R>,
): Message<S, Static<B>, Static<R>> {
  assertTemplate(subject);
  return {
    subject,
    body: format<Static<B>>(subject, body, { codec, upgrade: old.upgrade, older: old.older }),
    reply: reply && format<Static<R>>(`${subject} (reply)`, reply, { codec: replyCodec, upgrade: old.upgradeReply, older: old.olderReply }),
    about,
    from: list(from),
    to: list(to),
    queue,
    ttlMs,
    onDisconnect,
    lane,
    id,
    era,
  };
}

const list = (value: string | readonly string[]): readonly string[] => (typeof value === "string" ? [value] : value);

interface FormatOptions {
  codec: Codec;
  upgrade: MessageOptions<TSchema>["upgrade"];
  older: string | undefined;
}

function format<T>(name: string, schema: TSchema, { codec, upgrade, older }: FormatOptions): Format<T> {
  const { read, write } = codecs[codec];
  let valid: ((value: unknown) => boolean) | undefined;
  return {
    schema,
    codec,
    older,
    parse(data) {
      let value: unknown;
      try {
        value = read(data);
        if (upgrade !== undefined && typeof value === "object" && value !== null && !Array.isArray(value)) value = upgrade(value as Record<string, unknown>);
      } catch {
        return { ok: false, issues: [`not ${codec === "zlib" ? "zlib-compressed JSON" : "JSON"}`] };
      }
      valid ??= compile(schema);
      return valid(value) ? { ok: true, body: value as T } : { ok: false, issues: issuesOf(schema, value) };
    },
    encode(body) {
      valid ??= compile(schema);
      if (!valid(body)) throw new BusError("BUS_INVALID_MESSAGE", `${name}: ${issuesOf(schema, body).join("; ")}`);
      try {
        return write(body);
      } catch (cause) {
        // A loop or a big integer in a field that the schema leaves open.
        throw new BusError("BUS_INVALID_MESSAGE", `${name}: cannot be written as JSON`, { cause });
      }
    },
  };
}
