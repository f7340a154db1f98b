import { randomBytes } from "node:crypto";

/** Names that nobody else uses: a random start for the process, then counting. They are no secrets. */
export function createIds(): () => string {
  const start = randomBytes(9).toString("base64url");
  let n = 0;
  return () => `${start}${(n++).toString(36)}`;
}
