import { createHash, timingSafeEqual } from "node:crypto";
import { BrokerError } from "./errors.ts";

export interface BasicCredentials {
  username: string;
  password: string;
}

/**
 * Checks an `Authorization: Basic` header (RFC 7617) against every accepted pair. Both sides are hashed first and all
 * pairs are compared whatever the outcome, so the time taken tells nothing. Throws `BROKER_INVALID_OPTIONS`.
 */
export function createCredentialCheck(accepted: readonly BasicCredentials[]): (authorization: string | null) => boolean {
  if (accepted.length === 0) throw new BrokerError("BROKER_INVALID_OPTIONS", "credentials are required");
  for (const { username, password } of accepted) {
    if (typeof username !== "string" || username === "" || username.includes(":")) throw new BrokerError("BROKER_INVALID_OPTIONS", "a user name must be there and hold no colon");
    if (typeof password !== "string" || password === "") throw new BrokerError("BROKER_INVALID_OPTIONS", "a password must be there");
  }
  const hashes = accepted.map(({ username, password }) => sha256(`${username}:${password}`));
  return (authorization) => {
    const sent = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization ?? "")?.[1] ?? "";
    const hash = sha256(Buffer.from(sent, "base64").toString("utf8"));
    let same = 0;
    for (const one of hashes) same |= Number(timingSafeEqual(one, hash));
    return same === 1;
  };
}

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();
