import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** Whether a request shows the credentials (HTTP Basic, RFC 7617); everybody passes where none are asked for. The password may hold colons. */
export function createGuard(user: string, password: string): (request: IncomingMessage) => boolean {
  if (user === "") return () => true;
  const wanted = digest(`${user}:${password}`);
  return ({ headers }) => {
    const given = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(headers.authorization ?? "")?.[1];
    return given !== undefined && timingSafeEqual(digest(Buffer.from(given, "base64").toString()), wanted);
  };
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
