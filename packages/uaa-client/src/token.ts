import { UaaError } from "./errors.ts";
import { isRecord } from "./http.ts";

/** Tokens above this size are refused unread: no UAA token comes near, and a header of this size fills most servers' limits. */
export const maxTokenChars = 16_384;

/** JOSE header and claims as they stand in the token. Nothing here has been checked. */
export interface DecodedToken {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

const base64url = /^[A-Za-z0-9_-]+$/;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Splits a signed token (JWS compact form, RFC 7515) without looking at the signature.
 * For display and for logs; never a ground to let anybody in. Throws `missing` or `malformed`.
 */
export function decodeUnverified(token: string): DecodedToken {
  if (token === "") throw new UaaError("missing", "there is no token");
  if (token.length > maxTokenChars) throw new UaaError("malformed", `the token is longer than ${maxTokenChars} characters`);
  const parts = token.split(".");
  const [header, claims, signature] = parts;
  if (parts.length !== 3 || header === undefined || claims === undefined || signature === undefined)
    throw new UaaError("malformed", "the token does not have three parts; opaque tokens cannot be validated here");
  // An empty signature is the form of `alg: none`; the header decides what is said about it.
  if (signature !== "" && !base64url.test(signature)) throw new UaaError("malformed", "the signature is not base64url");
  return { header: jsonPart(header, "header"), claims: jsonPart(claims, "claims part") };
}

function jsonPart(part: string, name: string): Record<string, unknown> {
  try {
    if (!base64url.test(part)) throw new Error("not base64url");
    const value: unknown = JSON.parse(utf8.decode(Buffer.from(part, "base64url")));
    if (!isRecord(value)) throw new Error("not an object");
    return value;
  } catch (cause) {
    throw new UaaError("malformed", `the token's ${name} is not a JSON object in base64url`, { cause });
  }
}
