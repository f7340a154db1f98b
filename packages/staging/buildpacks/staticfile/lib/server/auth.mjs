// Basic authentication against an htpasswd file: {PLAIN}, {SHA}, {SSHA} and the apr1 kind of MD5.
import { createHash, timingSafeEqual } from "node:crypto";

/** @returns {[string, string][]} @throws Error for a line that cannot be used */
export function readAccounts(text) {
  const accounts = [];
  for (const [number, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#.*)?$/.test(line)) continue;
    const at = line.indexOf(":");
    const hash = line.slice(at + 1).trim();
    if (at < 1 || hash === "") throw new Error(`Staticfile.auth, line ${number + 1}: must be user:hash`);
    if (!/^(\{PLAIN\}|\{SHA\}|\{SSHA\}|\$apr1\$[^$]{1,8}\$)/.test(hash))
      throw new Error(`Staticfile.auth, line ${number + 1}: this kind of hash is not known here; make it with htpasswd -m (MD5) or -s (SHA)`);
    accounts.push([line.slice(0, at), hash]);
  }
  return accounts;
}

/** Whether an `Authorization` header opens the site. */
export function mayEnter(accounts, header) {
  const [, encoded] = /^Basic\s+([A-Za-z0-9+/=_-]+)$/i.exec(header ?? "") ?? [];
  if (encoded === undefined) return false;
  const pair = Buffer.from(encoded, "base64").toString();
  const at = pair.indexOf(":");
  if (at === -1) return false;
  const password = pair.slice(at + 1);
  const account = accounts.find(([user]) => user === pair.slice(0, at));
  return account !== undefined && verify(password, account[1]);
}

export function verify(password, hash) {
  if (hash.startsWith("{PLAIN}")) return same(password, hash.slice(7));
  if (hash.startsWith("{SHA}")) return same(createHash("sha1").update(password).digest("base64"), hash.slice(5));
  if (hash.startsWith("{SSHA}")) {
    const bytes = Buffer.from(hash.slice(6), "base64");
    return same(createHash("sha1").update(password).update(bytes.subarray(20)).digest("hex"), bytes.subarray(0, 20).toString("hex"));
  }
  return same(apr1(password, hash.split("$")[2]), hash);
}

const same = (a, b) => {
  const [left, right] = [a, b].map((text) => createHash("sha256").update(text).digest());
  return timingSafeEqual(left, right);
};

const md5 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("md5")).digest();
const letters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The MD5 crypt of Apache: a thousand rounds, then six bits a letter in an order of its own. */
export function apr1(password, salt) {
  const key = Buffer.from(password);
  const inner = md5(key, salt, key);
  const start = [key, "$apr1$", salt];
  for (let left = key.length; left > 0; left -= 16) start.push(inner.subarray(0, Math.min(16, left)));
  for (let bits = key.length; bits > 0; bits >>= 1) start.push(bits & 1 ? Buffer.from([0]) : key.subarray(0, 1));
  let digest = md5(...start);
  for (let round = 0; round < 1000; round++)
    digest = md5(round & 1 ? key : digest, ...(round % 3 ? [salt] : []), ...(round % 7 ? [key] : []), round & 1 ? digest : key);
  const write = (value, count) => {
    let text = "";
    for (let rest = value; count-- > 0; rest >>= 6) text += letters[rest & 63];
    return text;
  };
  const groups = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
  const text = groups.map(([a, b, c]) => write((digest[a] << 16) | (digest[b] << 8) | digest[c], 4)).join("") + write(digest[11], 2);
  return `$apr1$${salt}$${text}`;
}
