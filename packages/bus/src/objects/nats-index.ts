import { BusError } from "../errors.ts";
import { ApiError, type JetStream } from "../jetstream/api.ts";
import { persist } from "../jetstream/wait.ts";
import type { ObjectInfo } from "./port.ts";

/** What is written about an object (ADR-20). */
export interface ObjectRecord {
  readonly name: string;
  readonly bucket: string;
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  readonly digest?: string;
  readonly mtime?: string;
  readonly deleted?: boolean;
  readonly options?: { readonly max_chunk_size?: number; readonly link?: object };
}

export const toInfo = (record: ObjectRecord): ObjectInfo =>
  Object.freeze({ name: record.name, sizeBytes: record.size, chunks: record.chunks, digest: record.digest ?? "", modifiedMs: Date.parse(record.mtime ?? "") || 0 });

export interface Index {
  /** @returns undefined where there is none, or it was deleted */
  read(object: string, signal?: AbortSignal): Promise<{ readonly record: ObjectRecord; readonly seq: number } | undefined>;
  /** Puts the record in place of the one before, whoever wrote that. @returns the one before */
  write(record: ObjectRecord, signal?: AbortSignal): Promise<ObjectRecord | undefined>;
  list(): Promise<ObjectRecord[]>;
}

export function createIndex(jetstream: JetStream, store: string, stream: string, forMs: number): Index {
  const subjectOf = (object: string): string => `$O.${store}.M.${Buffer.from(object).toString("base64").replaceAll("+", "-").replaceAll("/", "_")}`;

  const at = async (subject: string, signal?: AbortSignal) => {
    const found = await persist((_, timeoutMs) => jetstream.last(stream, subject, { timeoutMs, signal }), { forMs, signal });
    return found && { record: JSON.parse(Buffer.from(found.data).toString()) as ObjectRecord, seq: found.seq };
  };

  return {
    async read(object, signal) {
      const found = await at(subjectOf(object), signal);
      if (found?.record.options?.link) throw new BusError("BUS_UNSUPPORTED", `object ${JSON.stringify(object)} is a link to another one`);
      return found?.record.deleted ? undefined : found;
    },

    async write(record, signal) {
      const subject = subjectOf(record.name);
      const text = JSON.stringify(record);
      let before = await at(subject, signal);
      for (;;) {
        const headers = { "Nats-Rollup": ["sub"], "Nats-Expected-Last-Subject-Sequence": [String(before?.seq ?? 0)] };
        try {
          await persist((_, timeoutMs) => jetstream.store(subject, text, headers, { timeoutMs, signal }), { forMs, signal });
          return before?.record;
        } catch (error) {
          // 10071: somebody wrote in between, perhaps we ourselves and the answer was lost. Each writer clears away what it replaced.
          if (!(error instanceof ApiError && error.reason === 10_071)) throw error;
          const now = await at(subject, signal);
          if (now?.record.nuid === record.nuid && now.record.deleted === record.deleted) return before?.record;
          before = now;
        }
      }
    },

    async list() {
      const state = await persist((_, timeoutMs) => jetstream.call<{ state: { subjects?: { [subject: string]: number } } }>(`STREAM.INFO.${stream}`, { subjects_filter: `$O.${store}.M.>` }, { timeoutMs }), { forMs });
      if (!state) throw new BusError("BUS_NOT_FOUND", `the object store ${store} was removed`);
      const subjects = Object.keys(state.state.subjects ?? {});
      const records: ObjectRecord[] = [];
      const worker = async (): Promise<void> => {
        for (let subject = subjects.pop(); subject !== undefined; subject = subjects.pop()) {
          const found = await at(subject);
          if (found && !found.record.deleted && !found.record.options?.link) records.push(found.record);
        }
      };
      await Promise.all(Array.from({ length: 8 }, worker));
      return records;
    },
  };
}
