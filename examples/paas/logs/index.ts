export { startLogs, type Logs, type LogsOptions } from "./start.ts";
export type { MayRead } from "./access.ts";
export type { IncomingEnvelope } from "./envelope.ts";
export { createLogStore, type LogStore, type LogStoreOptions, type ReadOptions } from "./store.ts";
export { LogError, codes, type LogErrorCode } from "./errors.ts";
