import type { EnvelopeType } from "./envelope.ts";
import { LogError } from "./errors.ts";
import type { ReadOptions } from "./store.ts";

/** Envelope types of the protocol, and which of ours they are: the others are legal to ask for and never there. */
const types: Readonly<Record<string, readonly EnvelopeType[]>> = {
  ANY: ["LOG", "GAUGE"],
  LOG: ["LOG"],
  GAUGE: ["GAUGE"],
  COUNTER: [],
  TIMER: [],
  EVENT: [],
};

/** The most envelopes in one answer. */
export const maxLimit = 1_000;

/**
 * Reads the query of `/api/v1/read`. Times may be negative: clients send the zero time of their language.
 * `name_filter` is accepted and applies to readings only, as plain text: a regular expression of a stranger may run for hours.
 * @throws LogError LOG_QUERY_INVALID
 */
export function parseQuery(query: URLSearchParams): ReadOptions & { nameFilter?: string } {
  const options: ReadOptions & { nameFilter?: string } = { limit: 100 };
  const start = time(query, "start_time");
  const end = time(query, "end_time");
  if (start !== undefined) options.start = start;
  if (end !== undefined) options.end = end;
  if (start !== undefined && end !== undefined && start > end) throw invalid("start_time must be before end_time");
  const limit = query.get("limit");
  if (limit !== null && limit !== "") {
    const count = Number(limit);
    if (!/^\d{1,9}$/.test(limit) || count > maxLimit) throw invalid(`limit must be a number from 0 to ${maxLimit}`);
    if (count > 0) options.limit = count;
  }
  const descending = query.get("descending") ?? "";
  if (!["", "true", "false", "1", "0", "t", "f"].includes(descending.toLowerCase())) throw invalid("descending must be true or false");
  options.descending = ["true", "1", "t"].includes(descending.toLowerCase());
  const asked = query.getAll("envelope_types").flatMap((text) => text.split(",")).filter((name) => name !== "");
  if (asked.length > 0) {
    options.types = new Set(
      asked.flatMap((name) => {
        const ours = types[name.toUpperCase()];
        if (!ours) throw invalid("envelope_types must be LOG, COUNTER, GAUGE, TIMER, EVENT or ANY");
        return ours;
      }),
    );
  }
  const nameFilter = query.get("name_filter");
  if (nameFilter) options.nameFilter = nameFilter.slice(0, 200);
  return options;
}

function time(query: URLSearchParams, name: string): bigint | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (!/^-?\d{1,20}$/.test(text)) throw invalid(`${name} must be a number of nanoseconds`);
  return BigInt(text);
}

const invalid = (message: string) => new LogError("LOG_QUERY_INVALID", message);
