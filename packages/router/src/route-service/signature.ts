import { createCipheriv, createDecipheriv, pbkdf2Sync, randomBytes } from "node:crypto";

/** The three headers that tie a request's two ways through the router together. */
export const signatureHeader = "X-CF-Proxy-Signature";
export const metadataHeader = "X-CF-Proxy-Metadata";
export const forwardedUrlHeader = "X-CF-Forwarded-Url";

/** What a signature says. */
export interface SignedUrl {
  readonly forwardedUrl: string;
  /** Milliseconds since the epoch. */
  readonly requestedAtMs: number;
}

/** Makes and opens signatures; interchangeable with those of every other router that has the same secret. */
export interface Signer {
  sign(signed: SignedUrl): { readonly signature: string; readonly metadata: string };
  /** What was signed, or undefined when this is nobody's signature. */
  open(signature: string, metadata: string | undefined): SignedUrl | undefined;
}

const rounds = 100_001;
const keyBytes = 16;
const nonceBytes = 12;
const tagBytes = 16;

const keyOf = (secret: string): Buffer => pbkdf2Sync(secret, "", rounds, keyBytes, "sha256");

/**
 * AES-128-GCM over `{"forwarded_url", "requested_time"}`, its key drawn from the secret (PBKDF2, SHA-256, 100 001 rounds, no salt);
 * the nonce travels in the metadata. Both headers are base64url with padding (gorouter `routeservice`, `common/secure`).
 * What the previous secret signed is still opened, nothing new is signed with it.
 */
export function createSigner(secret: string, previousSecret = ""): Signer {
  const current = keyOf(secret);
  const keys = previousSecret === "" ? [current] : [current, keyOf(previousSecret)];
  return {
    sign({ forwardedUrl, requestedAtMs }) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-128-gcm", current, nonce);
      const text = JSON.stringify({ forwarded_url: forwardedUrl, requested_time: new Date(requestedAtMs).toISOString() });
      const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
      return { signature: padded(sealed), metadata: padded(Buffer.from(JSON.stringify({ nonce: nonce.toString("base64") }))) };
    },
    open(signature, metadata) {
      const nonce = nonceOf(metadata);
      const sealed = Buffer.from(signature, "base64url");
      if (nonce === undefined || sealed.length <= tagBytes) return undefined;
      for (const key of keys) {
        const signed = unsealed(key, nonce, sealed);
        if (signed !== undefined) return signed;
      }
      return undefined;
    },
  };
}

function unsealed(key: Buffer, nonce: Buffer, sealed: Buffer): SignedUrl | undefined {
  try {
    const decipher = createDecipheriv("aes-128-gcm", key, nonce);
    decipher.setAuthTag(sealed.subarray(-tagBytes));
    const text = Buffer.concat([decipher.update(sealed.subarray(0, -tagBytes)), decipher.final()]).toString("utf8");
    const { forwarded_url: forwardedUrl, requested_time: time } = JSON.parse(text) as Record<string, unknown>;
    const requestedAtMs = Date.parse(String(time));
    return typeof forwardedUrl === "string" && Number.isFinite(requestedAtMs) ? { forwardedUrl, requestedAtMs } : undefined;
  } catch {
    return undefined;
  }
}

function nonceOf(metadata: string | undefined): Buffer | undefined {
  if (metadata === undefined || metadata === "") return undefined;
  try {
    const { nonce } = JSON.parse(Buffer.from(metadata, "base64url").toString("utf8")) as { nonce?: unknown };
    const bytes = Buffer.from(typeof nonce === "string" ? nonce : "", "base64");
    return bytes.length === nonceBytes ? bytes : undefined;
  } catch {
    return undefined;
  }
}

/** Go's `base64.URLEncoding`, which insists on the padding that Node leaves out. */
function padded(bytes: Buffer): string {
  const text = bytes.toString("base64url");
  return text + "=".repeat((4 - (text.length % 4)) % 4);
}
