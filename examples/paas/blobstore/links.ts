import { createHmac, timingSafeEqual } from "node:crypto";
import { BlobError } from "./errors.ts";

/** What a link permits. Everything here is covered by the signature. */
export interface Grant {
  method: "GET" | "PUT" | "DELETE" | "POST";
  /** Path with its leading slash, such as `/blobs/droplets/<guid>`. */
  path: string;
  /** The end of its validity, ms since the epoch. */
  expiresMs: number;
  /** PUT: the most that may be sent. */
  maxBytes?: number | undefined;
  /** PUT: copy from this key instead of reading a body. */
  from?: string | undefined;
}

/** Signs links and checks them: HMAC-SHA-256 over the method, the path, the expiry and the conditions. */
export interface LinkSigner {
  /** Path and query. */
  sign(grant: Grant): string;
  /**
   * What a request may do. A link for GET permits HEAD too.
   * @throws BlobError BLOB_LINK_INVALID, BLOB_LINK_EXPIRED
   */
  verify(method: string, url: URL, nowMs: number): Grant;
}

/** @throws TypeError when the secret has fewer than 16 characters */
export function createLinkSigner(secret: string): LinkSigner {
  if (secret.length < 16) throw new TypeError("The secret of the blobstore needs at least 16 characters");
  const mac = ({ method, path, expiresMs, maxBytes, from }: Grant) =>
    createHmac("sha256", secret)
      .update(JSON.stringify(["opencf-blob-1", method, path, expiresMs, maxBytes ?? null, from ?? null]))
      .digest();

  return {
    sign(grant) {
      const query = new URLSearchParams({ expires: String(grant.expiresMs) });
      if (grant.maxBytes !== undefined) query.set("max_bytes", String(grant.maxBytes));
      if (grant.from !== undefined) query.set("from", grant.from);
      query.set("signature", mac(grant).toString("base64url"));
      return `${grant.path}?${query}`;
    },
    verify(method, url, nowMs) {
      const query = url.searchParams;
      const maxBytes = query.get("max_bytes");
      const grant: Grant = {
        method: (method === "HEAD" ? "GET" : method) as Grant["method"],
        path: url.pathname,
        expiresMs: Number(query.get("expires") ?? Number.NaN),
        maxBytes: maxBytes === null ? undefined : Number(maxBytes),
        from: query.get("from") ?? undefined,
      };
      const expected = mac(grant);
      const given = Buffer.from(query.get("signature") ?? "", "base64url");
      if (given.length !== expected.length || !timingSafeEqual(given, expected))
        throw new BlobError("BLOB_LINK_INVALID", "The link is not signed for this request");
      if (!(grant.expiresMs > nowMs)) throw new BlobError("BLOB_LINK_EXPIRED", "The link has expired");
      return grant;
    },
  };
}
