import { BusError } from "../errors.ts";

// Codes of the client (nats.js, core `ErrorCode`); read as texts so that this file loads without it.
const refused = new Set(["AUTHORIZATION_VIOLATION", "AUTHENTICATION_EXPIRED", "ACCOUNT_EXPIRED", "BAD_AUTHENTICATION", "BAD_CREDS"]);
// Certificates do not become right by waiting (Node, "X509 certificate error codes"; OpenSSL alerts).
const certificate = /^(ERR_TLS_CERT|ERR_SSL_|ERR_OSSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|HOSTNAME_MISMATCH)/;

export const codeOf = (error: unknown): string => (typeof error === "object" && error !== null && "code" in error ? String(error.code) : "");

export const isRefusal = (error: unknown): boolean => refused.has(codeOf(error));

export const isCertificateFault = (error: unknown): boolean => certificate.test(codeOf(error));

export const unauthorized = (cause?: unknown): BusError =>
  new BusError("BUS_UNAUTHORIZED", "the NATS server does not accept these credentials", { cause });

/** What the server or the client says about the running connection, by the client's code. */
export function reported(code: string): BusError {
  if (refused.has(code)) return unauthorized();
  if (code === "AUTHENTICATION_TIMEOUT") return new BusError("BUS_UNAUTHORIZED", "the NATS server waited too long for credentials", { retryable: true });
  return new BusError("BUS_DISCONNECTED", `the NATS server reported an error (${code})`, { retryable: true });
}

export const forbidden = (operation: "publish" | "subscribe", subject: string): BusError =>
  new BusError("BUS_FORBIDDEN", `this user may not ${operation === "publish" ? "publish to" : "subscribe to"} ${subject}`);

export const closed = (): BusError => new BusError("BUS_CLOSED", "this connection to the bus is closed");

export const disconnected = (): BusError => new BusError("BUS_DISCONNECTED", "the bus is away", { retryable: true });
