import type { Static, TSchema } from "@sinclair/typebox";
import { BusError } from "../errors.ts";
import { compile, issuesOf } from "../validator.ts";
import type { Bucket, Entry, ReadOptions, WatchOptions, WriteOptions } from "./port.ts";

/** An entry whose value was read; a value that is no JSON or not of the schema is undefined, as with a marker. */
export type JsonEntry<T> = Omit<Entry, "value"> & { readonly value: T | undefined };
export type JsonWatchEvent<T> = { readonly type: "entry"; readonly entry: JsonEntry<T> } | { readonly type: "current" };

/** A bucket of JSON values. What it does not offer, the bucket beneath does. */
export interface JsonBucket<T> {
  readonly bucket: Bucket;
  get(key: string, options?: ReadOptions): Promise<JsonEntry<T> | undefined>;
  /** Writes throw BusError `BUS_INVALID_MESSAGE` for a value that is not of the schema. */
  put(key: string, value: T, options?: WriteOptions): Promise<number>;
  create(key: string, value: T, options?: WriteOptions): Promise<number>;
  update(key: string, value: T, revision: number, options?: WriteOptions): Promise<number>;
  watch(options?: WatchOptions): AsyncIterable<JsonWatchEvent<T>>;
}

/** Values as JSON, checked against a schema where one is given. What others wrote wrongly never throws: it reads as undefined. */
export function jsonBucket<S extends TSchema>(bucket: Bucket, schema: S): JsonBucket<Static<S>>;
export function jsonBucket<T = unknown>(bucket: Bucket): JsonBucket<T>;
export function jsonBucket(bucket: Bucket, schema?: TSchema): JsonBucket<unknown> {
  let valid: ((value: unknown) => boolean) | undefined;
  const fits = (value: unknown): boolean => schema === undefined || (valid ??= compile(schema))(value);
  const write = (key: string, value: unknown): string => {
    if (!fits(value)) throw new BusError("BUS_INVALID_MESSAGE", `${bucket.name}/${key}: ${issuesOf(schema as TSchema, value).join("; ")}`);
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) throw new BusError("BUS_INVALID_MESSAGE", `${bucket.name}/${key}: not a JSON value`);
    return text;
  };
  const read = (entry: Entry): JsonEntry<unknown> => {
    if (entry.operation !== "put") return { ...entry, value: undefined };
    try {
      const value: unknown = JSON.parse(new TextDecoder().decode(entry.value));
      return { ...entry, value: fits(value) ? value : undefined };
    } catch {
      return { ...entry, value: undefined };
    }
  };
  return {
    bucket,
    async get(key, options) {
      const entry = await bucket.get(key, options);
      return entry && read(entry);
    },
    put: async (key, value, options) => bucket.put(key, write(key, value), options),
    create: async (key, value, options) => bucket.create(key, write(key, value), options),
    update: async (key, value, revision, options) => bucket.update(key, write(key, value), revision, options),
    async *watch(options) {
      for await (const event of bucket.watch(options)) yield event.type === "current" ? event : { type: "entry", entry: read(event.entry) };
    },
  };
}
