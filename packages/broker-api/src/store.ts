import type { ResolvedPlan, Service } from "./catalog.ts";
import type { JsonObject } from "./json.ts";

/** What is known about one instance. Plain JSON. */
export interface InstanceRecord {
  kind: "instance";
  instanceId: string;
  /** `creating` was written before the author's function was called; `failed` = something may be left, only deprovision helps. */
  state: "creating" | "ready" | "failed";
  service: Service;
  /** As it was when the instance got it: plans leave catalogs, instances stay. */
  plan: ResolvedPlan;
  parameters: JsonObject;
  maintenanceVersion?: string;
  dashboardUrl?: string;
  metadata?: { labels?: Readonly<Record<string, string>>; attributes?: Readonly<Record<string, string>> };
}

/** What is known about one binding. Plain JSON; `answer` holds credentials, so a store that writes must protect them. */
export interface BindingRecord {
  kind: "binding";
  instanceId: string;
  bindingId: string;
  state: "creating" | "ready" | "failed";
  serviceId: string;
  planId: string;
  parameters: JsonObject;
  bindResource: JsonObject;
  predecessorBindingId?: string;
  /** The body that was answered, to answer an equal request again. */
  answer: JsonObject;
}

export type StoredRecord = InstanceRecord | BindingRecord;

/**
 * Where records live. Keys are text without spaces; records are plain JSON. A promise that resolves means the record
 * is as safe as it will ever be: answers go out after it. One process uses a store at a time.
 */
export interface Store {
  get(key: string): Promise<StoredRecord | undefined>;
  set(key: string, record: StoredRecord): Promise<void>;
  /** Quiet when there is none. */
  delete(key: string): Promise<void>;
  /** Keys beginning with this text. */
  list(prefix: string): Promise<readonly string[]>;
}

/** Keeps records as long as the process lives: for tests, and for brokers whose instances end with them too. */
export function memoryStore(): Store {
  const records = new Map<string, string>();   // as text, so that nobody changes a stored record through a reference
  return {
    async get(key) {
      const text = records.get(key);
      return text === undefined ? undefined : (JSON.parse(text) as StoredRecord);
    },
    async set(key, record) { records.set(key, JSON.stringify(record)); },
    async delete(key) { records.delete(key); },
    async list(prefix) { return [...records.keys()].filter((key) => key.startsWith(prefix)); },
  };
}

export const instanceKey = (instanceId: string): string => `instance/${encodeURIComponent(instanceId)}`;
export const bindingPrefix = (instanceId: string): string => `binding/${encodeURIComponent(instanceId)}/`;
export const bindingKey = (instanceId: string, bindingId: string): string => bindingPrefix(instanceId) + encodeURIComponent(bindingId);
