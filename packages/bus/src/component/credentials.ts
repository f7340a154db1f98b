import { createHash, timingSafeEqual } from "node:crypto";

/** Tells whether an `Authorization` header opens the page; takes the same time for every wrong one (RFC 7617). */
export function basicGuard(user: string, password: string): (authorization: string | null) => boolean {
  const wanted = digest(`${user}:${password}`);
  return (authorization) => {
    const given = /^basic +([a-z0-9+/_-]+={0,2}) *$/i.exec(authorization ?? "")?.[1];
    const equal = timingSafeEqual(digest(Buffer.from(given ?? "", "base64").toString()), wanted);
    return equal && given !== undefined;
  };
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
