import type { Clock, Logger } from "../ports.ts";

/** Certificates of a TLS connection; each is a PEM text or the path of a file that holds one. Files are read anew for every connection. */
export interface NatsTlsOptions {
  /** Authorities that the server's certificate may come from. Default: those of Node. */
  ca?: string;
  /** Our own certificate, for mutual TLS. */
  cert?: string;
  key?: string;
  /** Name that the server's certificate must have. Default: the host of the address. */
  serverName?: string;
  /** TLS from the first byte, as servers with `handshake_first` want it. Default false. */
  handshakeFirst?: boolean;
}

export interface NatsTransportOptions {
  /**
   * `nats://host:port`, one or several of one cluster: a list, or one text with commas. `tls://` asks for TLS.
   * `nats://user:password@host` and `nats://token@host` work; the first that has them counts for all.
   */
  servers: string | readonly string[];
  user?: string;
  password?: string;
  token?: string;
  /** Seed of a user nkey (`SU...`), or a file that holds one. */
  nkey?: string;
  /** Text of a credentials file (JWT and seed), or its path. The file is read anew for every connection. */
  credentials?: string;
  tls?: NatsTlsOptions;
  /** Shown by the server's monitoring. */
  name?: string;
  /** What this connection publishes comes back to its own subscriptions. Default true. */
  echo?: boolean;
  /** First part of the subjects for answers, without wildcards. Default `_INBOX`. */
  inboxPrefix?: string;
  /** How long the first connection may take, all attempts together. Default 20 000 ms. */
  connectTimeoutMs?: number;
  /** Waits for the first server for ever, or until `signal`. Default false. */
  waitForFirstServer?: boolean;
  /** How long one attempt with one server may take. Default 2 000 ms. */
  dialTimeoutMs?: number;
  /** Least wait between two attempts with the same server; up to as much again is added by chance. Default 500 ms. */
  reconnectWaitMs?: number;
  /** A server that has been silent for so long is taken for gone. Default 20 000 ms. */
  staleAfterMs?: number;
  /** Bytes that may wait for a server that does not read; what comes then is dropped. Default 64 MiB. */
  maxWaitingBytes?: number;
  /**
   * Bytes read in one turn of the event loop, in readings of 64 KiB at most, which are never cut; the rest waits for the next turn, so that a flood of
   * messages holds nobody else up in this process. A flood that goes on for a quarter of `staleAfterMs` is read ever faster, since servers
   * give up clients that stay behind. 65 536 is good for a process that serves people; large payloads cost a quarter more to read
   * with it. Default `Infinity`: whatever there is, up to 2 MiB.
   */
  turnBytes?: number;
  /**
   * Longest rest behind a turn in which `turnBytes` were read and more was waiting: bounds how much of the process's time a flood gets while others want it;
   * a process that has nothing else to do reads on within a millisecond or two. Longer than a message takes to handle, and a second's worth of turns must
   * hold what comes in a second on most days. Default 0 ms: the next turn reads on.
   */
  turnRestMs?: number;
  /** Ends the waiting for the first connection. */
  signal?: AbortSignal;
  log?: Logger;
  clock?: Clock;
}

export const defaults = {
  connectTimeoutMs: 20_000,
  dialTimeoutMs: 2_000,
  reconnectWaitMs: 500,
  staleAfterMs: 20_000,
  maxWaitingBytes: 64 * 1_048_576,
  turnBytes: Infinity,
  turnRestMs: 0,
  inboxPrefix: "_INBOX",
} as const;
