export type Tags = Readonly<Record<string, string>>;
export const envelopeTypes = ["LOG", "GAUGE"] as const;
export type EnvelopeType = (typeof envelopeTypes)[number];
export type Metrics = Readonly<Record<string, { unit: string; value: number }>>;

/** One line of output, or one set of readings, as the bus carries it. `timestamp` is nanoseconds since the epoch. */
export interface IncomingEnvelope {
  source_id: string;
  instance_id: string;
  timestamp: string;
  tags: Tags;
  type?: "OUT" | "ERR";
  payload?: string;
  gauge?: Metrics;
}

/** The same, as it is kept. Tags are shared between envelopes; never change them. */
export interface Stored {
  timestamp: bigint;
  instanceId: string;
  tags: Tags;
  /** A line. */
  type?: "OUT" | "ERR";
  payload?: string;
  /** Or readings. */
  gauge?: Metrics;
  /** What it is counted as. */
  bytes: number;
}

/** What an envelope costs besides its text: object, big integer, slot in the ring. */
const overheadBytes = 160;

export const typeOf = (envelope: Stored): EnvelopeType => (envelope.gauge ? "GAUGE" : "LOG");

export function bytesOf(instanceId: string, payload: string | undefined, gauge: Metrics | undefined): number {
  const body = payload === undefined ? JSON.stringify(gauge ?? {}).length : Buffer.byteLength(payload);
  return overheadBytes + instanceId.length + body;
}

/** Cuts a text to a number of UTF-8 bytes without splitting a character. */
export function cutTo(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  const bytes = Buffer.from(text);
  let end = maxBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end);
}

/** The envelope in the JSON form of the loggregator v2 protocol: 64-bit numbers as text, payload in base64. */
export function toWire(sourceId: string, { timestamp, instanceId, tags, type, payload, gauge }: Stored): object {
  const head = { timestamp: timestamp.toString(), source_id: sourceId, instance_id: instanceId, tags };
  if (gauge) return { ...head, gauge: { metrics: gauge } };
  return { ...head, log: { payload: Buffer.from(payload ?? "").toString("base64"), type: type ?? "OUT" } };
}
