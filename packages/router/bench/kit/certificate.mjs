// A certificate for the TLS rows: the same for every proxy, made for this run.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** Nobody but the client decides: it offers nothing else, so all proxies do the same work. */
export const suite = "TLS_AES_128_GCM_SHA256";

/** Gives the paths of both files; `both` has them in one, as haproxy wants it. */
export async function makeCertificate(folder, name) {
  const [cert, key, both] = ["cert.pem", "key.pem", "both.pem"].map((file) => join(folder, file));
  await promisify(execFile)("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`, "-keyout", key, "-out", cert]);
  await writeFile(both, (await readFile(cert, "utf8")) + (await readFile(key, "utf8")), { mode: 0o600 });
  return { cert, key, both };
}
