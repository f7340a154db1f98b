import { createCipheriv, createDecipheriv, randomBytes, scrypt } from "node:crypto";
import { promisify } from "node:util";
import { DeaError } from "../errors.ts";

/** Encrypts and decrypts single lines. */
export interface Cipher {
  /** Base64 of nonce, tag and text. */
  seal(text: string): string;
  /** Throws when the text was sealed with another key, or changed. */
  open(sealed: string): string;
}

const nonceBytes = 12;
const tagBytes = 16;
const minKeyBytes = 16;
const derive = promisify<string | Uint8Array, string, number, Buffer>(scrypt);

/**
 * AES-256-GCM with a key that is derived (scrypt) from the given one and the executor's id: two executors with one key
 * share none. Throws DEA_INVALID_SPEC for a key of less than 16 bytes.
 */
export async function createCipher(key: string | Uint8Array, salt: string): Promise<Cipher> {
  if (Buffer.byteLength(key) < minKeyBytes) throw new DeaError("DEA_INVALID_SPEC", `the journal's key must have at least ${minKeyBytes} bytes`);
  const secret = await derive(key, `opencf-dea-journal/${salt}`, 32);
  return {
    seal(text) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", secret, nonce);
      const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString("base64");
    },
    open(sealed) {
      const bytes = Buffer.from(sealed, "base64");
      const decipher = createDecipheriv("aes-256-gcm", secret, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
      return Buffer.concat([decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()]).toString("utf8");
    },
  };
}
