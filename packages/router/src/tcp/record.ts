import type { Endpoint } from "../endpoint.ts";
import type { AccessLogOptions } from "../proxy/access-log.ts";

/** What is known of a TCP connection when it is over. */
export interface TcpRecord {
  /** `tcp:2222`, or `tcp:2222/name`; undefined when the port had no route for it. */
  readonly route: string | undefined;
  readonly port: number;
  /** Name in the client's TLS handshake; empty where nobody looked, or there was none. */
  readonly serverName: string;
  /** Whether the router ended the client's TLS. */
  readonly secure: boolean;
  readonly endpoint: Endpoint | undefined;
  /** `address:port` of the client. */
  readonly peer: string;
  /** From the client, and to it; where TLS is ended here, what was inside. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly attempts: number;
  /** Why there was no connection to an endpoint, or why it was cut; undefined when it simply ended. */
  readonly error: string | undefined;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** Until there was a connection to an endpoint; undefined when there was none. */
  readonly connectMs: number | undefined;
  readonly totalMs: number;
}

/** What all of them add up to, since the start. */
export interface TcpNumbers {
  readonly tcp_connections: number;
  readonly tcp_open_connections: number;
  /** Closed because there were too many. */
  readonly tcp_refused_connections: number;
  /** No endpoint could be reached, or there was no route for the name. */
  readonly tcp_failed_connections: number;
  /** Where TLS is ended here: handshakes that failed, client certificates that were not good enough included. */
  readonly tcp_refused_handshakes: number;
  readonly tcp_failed_attempts: number;
  readonly tcp_bytes_in: number;
  readonly tcp_bytes_out: number;
  readonly tcp_open_ports: number;
  /** Ports that routes ask for, and that are outside the range or taken. */
  readonly tcp_refused_ports: number;
}

const time = (ms: number): string => new Date(ms).toISOString().replace("Z", "000000Z");
const seconds = (ms: number | undefined): string => (ms === undefined ? "\"-\"" : (ms / 1_000).toFixed(6));
const quoted = (text: string): string => (text === "" ? "\"-\"" : JSON.stringify(text));

const parts = ({ route, port, serverName, startedAtMs, bytesIn, bytesOut, peer, endpoint, totalMs, connectMs, attempts, error }: TcpRecord, hidePeer: boolean): object => ({
  timestamp: new Date(startedAtMs).toISOString(), protocol: "TCP", port, server_name: serverName || undefined, bytes_in: bytesIn, bytes_out: bytesOut, peer: hidePeer ? undefined : peer, backend: endpoint?.address,
  response_time: rounded(totalMs), connect_time: connectMs === undefined ? undefined : rounded(connectMs), attempts,
  app_id: endpoint?.app || undefined, app_index: endpoint?.instanceIndex || undefined, instance_id: endpoint?.instanceId || undefined, route, error,
});
const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000_000;

/** A line in the form that the log has: classic, or JSON. */
export function tcpLogLine(record: TcpRecord, { kind = "line", hideClientAddress = false, hidePeer = hideClientAddress }: Pick<AccessLogOptions, "kind" | "hideClientAddress" | "hidePeer"> = {}): string {
  return kind === "json" ? `${JSON.stringify(parts(record, hidePeer))}\n` : classic(record, hidePeer);
}

/** One line per connection, like the ones of requests as far as there is something to say. */
const classic = ({ route, port, serverName, startedAtMs, bytesIn, bytesOut, peer, endpoint, totalMs, connectMs, attempts, error = "" }: TcpRecord, hidePeer: boolean): string =>
  `${route ?? `tcp:${port}`} - [${time(startedAtMs)}] "TCP ${port} -" ${bytesIn} ${bytesOut} ${quoted(hidePeer ? "" : peer)} ${quoted(endpoint?.address ?? "")} server_name:${quoted(serverName)}`
  + ` response_time:${seconds(totalMs)} connect_time:${seconds(connectMs)} attempts:${attempts} app_id:${quoted(endpoint?.app ?? "")} app_index:${quoted(endpoint?.instanceIndex ?? "")} instance_id:${quoted(endpoint?.instanceId ?? "")} error:${quoted(error)}\n`;
